package commit

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
)

const (
	revision = "32561dd7fd18c47689d9fdc8f22f9bee60a02395"
	long     = revision + "0123456789abcdef01234567"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		facts string
		want  Commit
		ok    bool
	}{
		{"", Commit{}, false},
		{"time=5", Commit{}, false},
		{"revision=main", Commit{}, false},
		{"revision=" + strings.ToUpper(revision), Commit{}, false},
		{"revision=" + revision, Commit{Revision: revision}, true},
		{"revision=" + long + "|localdir:context=.", Commit{Revision: long}, true},
		{"revision=" + revision + "-dirty", Commit{Revision: revision, Modified: true}, true},
		{"revision=" + revision + "|modified=true|localdir:context=svc/|time=17", Commit{Revision: revision, Modified: true, Inner: true, Time: 17}, true},
		{"revision=" + revision + "|modified=false|time=-1", Commit{Revision: revision}, true},
		{"revision=" + revision + "|time=now|tags=v1.0.0 a,b|bases=v0.9.0", Commit{Revision: revision, Tags: []string{"v1.0.0", "a,b"}, Bases: []string{"v0.9.0"}}, true},
	} {
		facts := map[string]string{}
		for fact := range strings.SplitSeq(tt.facts, "|") {
			k, v, _ := strings.Cut(fact, "=")
			facts[k] = v
		}
		got, ok := Parse(facts)
		require.Equal(t, tt.ok, ok, tt.facts)
		require.Empty(t, cmp.Diff(tt.want, got, cmpopts.EquateEmpty()), tt.facts)
	}
}

// What go 1.26 asks, as a git that writes down its arguments saw it, and what git answered; and what older ones ask.
func TestAnswer(t *testing.T) {
	known := Commit{Revision: revision, Time: 1795274155, Tags: []string{"v1.3.0", "svc/v0.4.0"}, Bases: []string{"v1.2.0"}}
	modified, untimed, inner, untagged := known, known, known, known
	modified.Modified, untimed.Time, inner.Inner, untagged.Tags = true, 0, true, nil
	for _, tt := range []struct {
		commit      Commit
		query, want string
	}{
		{known, "status --porcelain", ""},
		{modified, "status --porcelain", " M .\n"},
		{known, "-c log.showsignature=false log -1 --format=%H:%ct", revision + ":1795274155\n"},
		{known, "-c log.showsignature=false show -s --format=%H:%ct", revision + ":1795274155\n"},
		{untimed, "-c log.showsignature=false log -1 --format=%H:%ct", revision + ":-62135596800\n"},
		{known, "config extensions.objectformat", "!extensions.objectformat is not set"},
		{Commit{Revision: long}, "config extensions.objectformat", "sha256\n"},
		{known, "-c log.showsignature=false log --no-decorate -n1 --format=format:%H_%ct_%D --end-of-options " + revision + " --", revision + " 1795274155 HEAD, tag: v1.3.0, tag: svc/v0.4.0"},
		{untagged, "-c log.showsignature=false log --no-decorate -n1 --format=format:%H_%ct_%D " + revision[:12] + " --", revision + " 1795274155 HEAD"},
		{known, "log --no-decorate -n1 --format=format:%H_%ct_%D --end-of-options refs/tags/v1.3.0 --", revision + " 1795274155 HEAD, tag: v1.3.0, tag: svc/v0.4.0"},
		{known, "log --no-decorate -n1 --format=format:%H_%ct_%D --end-of-options refs/tags/v1.2.0 --", `!bad revision "refs/tags/v1.2.0"`},
		{known, "log --no-decorate -n1 --format=format:%H_%ct_%D --end-of-options abcdef1 --", `!bad revision "abcdef1"`},
		{untimed, "log --no-decorate -n1 --format=format:%H_%ct_%D --end-of-options " + revision + " --", "!what is known of the commit " + revision + " isn't enough for a version"},
		{inner, "log --no-decorate -n1 --format=format:%H_%ct_%D --end-of-options " + revision + " --", "!what is known of the commit " + revision + " isn't enough for a version"},
		{known, "tag -l", "v1.3.0\nsvc/v0.4.0\nv1.2.0\n"},
		{untagged, "for-each-ref --format=%(refname) --merged=" + revision, "refs/tags/v1.2.0\n"},
		{known, "cat-file --end-of-options blob " + revision + ":svc/go.mod", "module svc\n"},
		{known, "cat-file --end-of-options blob " + revision + ":v2/go.mod", "!there is no v2/go.mod"},
		{known, "cat-file blob abc:go.mod", "!not a valid object name abc:go.mod"},
		{known, "fetch origin", "!Larder answers what the go command asks to stamp a binary, and this it doesn't: git fetch origin"},
		{known, "", "!Larder answers what the go command asks to stamp a binary, and this it doesn't: git "},
	} {
		args := strings.Fields(tt.query)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		got, err := tt.commit.Answer(args, func(name string) ([]byte, error) {
			if name == "svc/go.mod" {
				return []byte("module svc\n"), nil
			}
			return nil, errors.New("there is no " + name)
		})
		if err != nil {
			got = "!" + err.Error()
		}
		require.Equal(t, tt.want, got, tt.query)
	}
}
