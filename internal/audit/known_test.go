package audit

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

// What isn't known isn't guessed.
func TestFactsOfModules(t *testing.T) {
	w := newWorld(t)
	lib, taken := module.Version{Path: "vuln.example/lib", Version: "v1.0.0"}, module.Version{Path: "back.example/Taken", Version: "v1.0.0"}
	lost, damaged := module.Version{Path: "lost.example/lost", Version: "v1.0.0"}, module.Version{Path: "gone.example/gone", Version: "v0.1.0"}
	pseudo, odd := module.Version{Path: "lost.example/lost", Version: "v0.0.0-20200102030405-abcdefabcdef"}, module.Version{Path: "../../etc", Version: "v1.0.0"}
	base := filepath.Join(w.modules, "gone.example", "gone", "@v", "v0.1.0")
	require.NoError(t, os.WriteFile(base+".info", []byte("{"), 0o644))
	require.NoError(t, os.WriteFile(base+".zip", []byte("no zip"), 0o644))

	known, err := Facts(t.Context(), os.DirFS(w.modules), []module.Version{lib, taken, lost, damaged, pseudo, odd})
	require.NoError(t, err)
	released := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, released, known[lib].Time)
	require.Equal(t, []string{"MIT"}, known[lib].Licenses)
	require.Positive(t, known[lib].Size)
	require.Equal(t, released, known[taken].Time)
	require.Empty(t, known[taken].Licenses, "a text that is no licence")
	require.Equal(t, Fact{}, known[lost])
	require.Equal(t, Fact{Size: 6}, known[damaged])
	require.Equal(t, Fact{Time: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)}, known[pseudo])
	require.Equal(t, Fact{}, known[odd])
}
