package testkit

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// An ending notes how a test would end first, and goes on.
type ending struct {
	testing.TB
	how string
}

func (e *ending) Helper()           {}
func (e *ending) Skip(text ...any)  { e.how = cmp.Or(e.how, "skip: "+fmt.Sprint(text...)) }
func (e *ending) Fatal(text ...any) { e.how = cmp.Or(e.how, "fail: "+fmt.Sprint(text...)) }

// What is missing is a skip in a plain run, and a failure where all tests are asked for.
func TestLacks(t *testing.T) {
	for value, want := range map[string]string{
		"":    "skip: needs no-such-program: make setup",
		"all": "fail: needs no-such-program: make setup",
	} {
		t.Setenv("LARDER_TEST", value)
		e := &ending{TB: t}
		require.Empty(t, Installed(e, "no-such-program"))
		require.Equal(t, want, e.how)
	}
	e := &ending{TB: t}
	require.NotEmpty(t, Installed(e, "go"))
	require.Empty(t, e.how)
}
