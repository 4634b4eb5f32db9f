package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// flagBlock is where the reference has the flags of a command: between two comments, the first of which names it.
var flagBlock = regexp.MustCompile(`(?s)<!-- flags of (larder[a-z ]*) -->\n.*?<!-- end of flags -->\n`)

// TestFlagReference wants the reference to have the usage and the flags of every command as the code has them; with
// -update they are written there.
func TestFlagReference(t *testing.T) {
	file := filepath.Join(testkit.Root(t), "docs", "reference", "command.md")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	commands := leaves((&command{}).root())
	got := flagBlock.ReplaceAllStringFunc(string(text), func(block string) string {
		name := flagBlock.FindStringSubmatch(block)[1]
		cmd := commands[name]
		require.NotNil(t, cmd, "the reference has %s, which isn't a command, or has it twice", name)
		delete(commands, name)
		return fmt.Sprintf("<!-- flags of %s -->\n\n%s\n<!-- end of flags -->\n", name, usage(cmd))
	})
	for name := range commands {
		t.Errorf("the reference lacks %s: write <!-- flags of %[1]s --> and <!-- end of flags --> on two lines below its heading", name)
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	require.Equal(t, got, string(text), "go test ./cmd/larder -run TestFlagReference -update")
}

// leaves returns the commands that users see and that have none below them, by their full names.
func leaves(cmd *cobra.Command) map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	for _, sub := range cmd.Commands() {
		switch {
		case sub.Hidden:
		case sub.HasSubCommands():
			for name, leaf := range leaves(sub) {
				all[name] = leaf
			}
		default:
			all[sub.CommandPath()] = sub
		}
	}
	return all
}

// usage returns what a command does, its usage and a table of its flags.
func usage(cmd *cobra.Command) string {
	var b strings.Builder
	does := strings.TrimSuffix(cmp.Or(cmd.Long, cmd.Short), ".") + "."
	fmt.Fprintf(&b, "%s\n\n```text\n%s\n```\n", escape(does), cmd.UseLine())
	if cmd.LocalFlags().HasAvailableFlags() {
		b.WriteString("\n| flag | what it does | default |\n| --- | --- | --- |\n")
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden {
			return
		}
		name := "--" + f.Name + value(f)
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		preset := ""
		if !strings.Contains("[] false 0", f.DefValue) {
			preset = "`" + f.DefValue + "`"
		}
		if _, required := f.Annotations[cobra.BashCompOneRequiredFlag]; required {
			preset = "none: it has to be given"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, escape(f.Usage), preset)
	})
	return b.String()
}

// value returns what a flag is followed by; "…" stands behind it if the flag may be given more than once.
func value(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return ""
	case "int", "int64", "uint64":
		return " N"
	case "stringArray":
		return " VALUE …"
	case "stringSlice":
		return " VALUE[,VALUE] …"
	}
	return " VALUE"
}

// escape writes text so that Markdown shows it as it is, in a table.
func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`).Replace(text)
}
