package frontend

import (
	"maps"
	"testing"

	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/stretchr/testify/require"
)

// Layers are made where a cache is imported, as BuildKit tells a frontend, or exported, as larder build does.
func TestTravels(t *testing.T) {
	for _, tt := range []struct {
		opts map[string]string
		arg  string
		want bool
	}{
		{nil, "", false}, {map[string]string{"cache-imports": "[]"}, "", false}, {map[string]string{"cache-imports": "null"}, "", false},
		{map[string]string{"cache-imports": `[{"Type":"registry","Attrs":{"ref":"x"}}]`}, "", true},
		{map[string]string{"cache-imports": `[{"Type":"registry","Attrs":{"ref":"x"}}]`}, "0", false},
		{map[string]string{"cache-from": "x"}, "", true}, {map[string]string{exportsOpt: "true"}, "", true},
		{nil, "1", true}, {nil, "true", true}, {nil, "maybe", false},
	} {
		b := &build{client: &client{opts: map[string]string{}}, ui: new(dockerui.Client)}
		maps.Copy(b.client.opts, tt.opts)
		b.ui.BuildArgs = map[string]string{layersArg: tt.arg}
		require.Equal(t, tt.want, b.travels(), "%v %q", tt.opts, tt.arg)
	}
}
