package gomod

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseProxies(t *testing.T) {
	for list, want := range map[string]string{
		"":                                  "",
		" , |,":                             "",
		"https://a,direct":                  "1 https://a https://a\n2 direct",
		"a.example|b:8080/p,,off|https://c": "1 https://a.example https://a.example |\n2 https://b:8080/p https://b:8080/p\n4 off |",
		" file:///srv/x |direct,https://a":  "1 file:///srv/x file:///srv/x |\n2 direct",
		"off":                               "1 off",
		"direct|":                           "1 direct |",
		"nonsense":                          "1 nonsense nonsense",
		"/srv":                              "1 /srv /srv",
		"https://u:s3cret%@a,https://b":     "1 https://u:s3cret%@a no URL\n2 https://b https://b",
	} {
		var got []string
		for _, p := range ParseProxies(list) {
			text := fmt.Sprint(p.Position)
			switch {
			case p.Word != "":
				require.Nil(t, p.URL)
				text += " " + p.Word
			case p.URL == nil:
				text += " " + p.Text + " no URL"
			default:
				text += " " + p.Text + " " + p.URL.String()
			}
			if p.AnyError {
				text += " |"
			}
			got = append(got, text)
		}
		require.Equal(t, want, strings.Join(got, "\n"), list)
	}
}
