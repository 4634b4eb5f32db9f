package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

func TestMinAge(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	min, err := NewMinAge(Age{days: 7}, []string{"*.corp.example", "exempt.example/a,exempt.example/b"}, now)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		path     string
		released time.Time
		want     string
	}{
		"older":                 {"m.example/m", now.AddDate(0, 0, -8), ""},
		"just old enough":       {"m.example/m", now.AddDate(0, 0, -7), ""},
		"a second too young":    {"m.example/m", now.AddDate(0, 0, -7).Add(time.Second), "m.example/m@v1.0.0 was released on 2026-11-21 12:00 UTC, less than 7d ago"},
		"of the future":         {"m.example/m", now.AddDate(1, 0, 0), "was released on 2027-11-28 12:00 UTC, less than 7d ago"},
		"of no time":            {"m.example/m", time.Time{}, "nobody tells when m.example/m@v1.0.0 was released"},
		"exempt":                {"git.corp.example/x/y", now, ""},
		"exempt, of no time":    {"exempt.example/b/sub", time.Time{}, ""},
		"not what is exempt":    {"exempt.example/bc", now, "less than 7d ago"},
		"not the exempt domain": {"corp.example/x", now, "less than 7d ago"},
	} {
		err := min.Check(module.Version{Path: tt.path, Version: "v1.0.0"}, tt.released)
		if tt.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, tt.want, name)
	}
	require.NoError(t, MinAge{}.Check(module.Version{Path: "m.example/m", Version: "v1.0.0"}, time.Time{}), "nothing is asked for")
	_, err = NewMinAge(Age{days: 7}, []string{"a,["}, now)
	require.ErrorContains(t, err, "--min-age-exempt [: syntax error in pattern")
	_, err = NewMinAge(Age{}, []string{"a"}, now)
	require.ErrorContains(t, err, "there is no --min-age")
}

// What isn't known is never old enough: neither without an .info, nor by one that says nothing, nor without modules at all.
func TestYoung(t *testing.T) {
	const mod = "-- go.mod --\nmodule m.example/m\n\ngo 1.26\n\nrequire (\n\tvuln.example/lib v1.2.0\n\tgone.example/gone v0.1.0 // indirect\n\tpseudo.example/p v0.0.0-20210530000000-0123456789ab\n\tlocal.example/l v1.0.0\n)\n\nreplace local.example/l => ./l\n-- l/go.mod --\nmodule local.example/l\n\ngo 1.26\n"
	young := func(w *world) (found []string) {
		for _, f := range w.run().Findings {
			if f.Rule == RuleYoung {
				require.Equal(t, Error, f.Severity)
				require.NotEmpty(t, f.Do)
				found = append(found, f.Module)
			}
		}
		return found
	}
	for name, tt := range map[string]struct {
		change func(w *world)
		want   []string
	}{
		"old enough":       {func(w *world) { w.options.MinAge.Age = Age{days: 1} }, nil},
		"nothing asked":    {func(w *world) { w.options.MinAge.Age, w.options.Modules = Age{}, nil }, nil},
		"a young commit":   {func(*world) {}, []string{"pseudo.example/p"}},
		"all are young":    {func(w *world) { w.options.MinAge.Age = Age{years: 2} }, []string{"vuln.example/lib", "gone.example/gone", "pseudo.example/p"}},
		"exempt":           {func(w *world) { w.options.MinAge.Exempt = "pseudo.example" }, nil},
		"no modules":       {func(w *world) { w.options.Modules = nil }, []string{"vuln.example/lib", "gone.example/gone", "pseudo.example/p"}},
		"no .info":         {func(w *world) { w.info("vuln.example/lib/@v/v1.2.0.info", "") }, []string{"vuln.example/lib", "pseudo.example/p"}},
		"no time":          {func(w *world) { w.info("vuln.example/lib/@v/v1.2.0.info", `{"Version":"v1.2.0"}`) }, []string{"vuln.example/lib", "pseudo.example/p"}},
		"no JSON":          {func(w *world) { w.info("vuln.example/lib/@v/v1.2.0.info", `{"Time":"2020-01-01T00:00:00Z"`) }, []string{"vuln.example/lib", "pseudo.example/p"}},
		"a time of no day": {func(w *world) { w.info("vuln.example/lib/@v/v1.2.0.info", `{"Time":"yesterday"}`) }, []string{"vuln.example/lib", "pseudo.example/p"}},
		"a zero time":      {func(w *world) { w.info("vuln.example/lib/@v/v1.2.0.info", `{"Time":"0001-01-01T00:00:00Z"}`) }, []string{"vuln.example/lib", "pseudo.example/p"}},
		"too long": {func(w *world) {
			w.info("vuln.example/lib/@v/v1.2.0.info", `{"Time":"2020-01-01T00:00:00Z"}`+strings.Repeat(" ", 1<<20))
		}, []string{"vuln.example/lib", "pseudo.example/p"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tree("m", mod)
			w.options.MinAge = MinAge{Age: Age{days: 7}, Now: w.options.Now}
			tt.change(w)
			require.Equal(t, tt.want, young(w))
		})
	}

	w := newWorld(t)
	w.tree("m", "-- go.mod --\nmodule m.example/m\n\ngo 1.16\n\nrequire vuln.example/lib v1.2.0\n")
	w.options.MinAge = MinAge{Age: Age{days: 7}, Now: w.options.Now}
	require.Equal(t, []string{"m.example/m"}, young(w), "what it doesn't list isn't known either")
}

// info puts an .info in the place of another, or removes it.
func (w *world) info(name, text string) {
	file := filepath.Join(w.modules, name)
	require.NoError(w.t, os.Remove(file))
	if text != "" {
		require.NoError(w.t, os.WriteFile(file, []byte(text), 0o644))
	}
}
