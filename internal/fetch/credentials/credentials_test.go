package credentials

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func basic(both string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(both)) }

func header(t *testing.T, s *Store, at string) http.Header {
	t.Helper()
	u, err := url.Parse(at)
	require.NoError(t, err)
	return s.Header(u)
}

// What requests to URLs are sent, for each of the files.
func TestHeader(t *testing.T) {
	for name, tt := range map[string]struct {
		files Files
		want  map[string]string // URL to Authorization
	}{
		"none": {Files{}, map[string]string{"https://a.example/": ""}},
		"netrc": {Files{Netrc: []byte(`# a comment
machine a.example login u password p4ss machine b.example
	login v
	password w0rd
machine port.example:8443 login u password p4ss
macdef init
machine macro.example login u password p4ss

machine a.example login second password p4ss
machine sub.example/dir login u password p4ss account x
machine nopassword.example login u
default login anybody password p4ss
machine after.example login u password p4ss
`)}, map[string]string{
			"https://a.example/x/y":           basic("u:p4ss"),
			"https://A.example:443/":          basic("u:p4ss"),
			"https://a.example:8443/x":        basic("u:p4ss"),
			"http://a.example/x":              "",
			"https://sub.a.example/":          "",
			"https://a.example.evil.example/": "",
			"https://b.example/":              basic("v:w0rd"),
			"https://port.example:8443/":      basic("u:p4ss"),
			"https://port.example/":           "",
			"https://macro.example/":          "",
			"https://sub.example/dir/x":       basic("u:p4ss"),
			"https://sub.example/dirt":        "",
			"https://nopassword.example/":     "",
			"https://other.example/":          "",
			"https://after.example/":          "",
		}},
		"goauth": {Files{GoAuth: []byte("https://a.example\nhttps://b.example/team/\n\nAuthorization: Bearer t0ken\n\nhttps://a.example/team/x\n\nAuthorization: Bearer 0ther\n\nhttps://gone.example\n\nAuthorization: Bearer t0ken\n\nhttps://gone.example\n\n\n")}, map[string]string{
			"https://a.example/mod/@v/list":  "Bearer t0ken",
			"https://a.example/team/x":       "Bearer 0ther",
			"https://a.example/team/x/y":     "Bearer 0ther",
			"https://a.example/team/xy":      "Bearer t0ken",
			"https://a.example/team/x/../y":  "Bearer t0ken",
			"https://a.example:8443/mod":     "",
			"http://a.example/mod":           "",
			"https://b.example/team":         "Bearer t0ken",
			"https://b.example/team/x/y":     "Bearer t0ken",
			"https://b.example/team/../evil": "",
			"https://b.example/":             "",
			"https://gone.example/":          "",
		}},
		"gitconfig": {Files{GitConfig: []byte(`
[user]
	name = "somebody # else"
[http "https://a.example/"] extraHeader = Authorization: Bearer 0ld
[HTTP "https://a.example/"]
	extraheader =
	extraHeader = "AUTHORIZATION: bearer n3w" ; the last
	sslVerify = false
[http "http://plain.example"]
	extraHeader = Authorization: Bearer plain
[url "https://oauth2:s%40cret@b.example/team/pre"]
	insteadOf = https://b.example/team/pre
	insteadOf = git@b.example:team/pre
`)}, map[string]string{
			"https://a.example/x":           "bearer n3w",
			"http://plain.example/x":        "Bearer plain",
			"https://plain.example/x":       "",
			"https://b.example/team/prefix": basic("oauth2:s@cret"),
			"https://b.example/other":       "",
		}},
		"all": {Files{
			Netrc:     []byte("machine a.example login u password p4ss\n"),
			GoAuth:    []byte("https://a.example\n\nAuthorization: Bearer t0ken\n\n"),
			GitConfig: []byte("[http \"https://a.example/x\"]\nextraHeader = Authorization: Bearer g1t\n"),
		}, map[string]string{"https://a.example/": "Bearer t0ken", "https://a.example/x/y": "Bearer g1t", "https://a.example:1/": basic("u:p4ss")}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse(tt.files)
			require.NoError(t, err)
			got := map[string]string{}
			for at := range tt.want {
				got[at] = header(t, s, at).Get("Authorization")
			}
			require.Empty(t, cmp.Diff(tt.want, got))
		})
	}
}

// What a netrc has for a machine opens an HTTP proxy on it, too; what else there is for its host doesn't.
func TestProxy(t *testing.T) {
	s, err := Parse(Files{
		Netrc:     []byte("machine proxy.example login u password p@ss\nmachine port.example:3128 login v password w0rd\nmachine path.example/dir login u password p4ss\n"),
		GoAuth:    []byte("https://goauth.example\n\nAuthorization: Bearer t0ken\n\n"),
		GitConfig: []byte("[http \"http://git.example\"]\n\textraHeader = Authorization: Bearer plain\n"),
	})
	require.NoError(t, err)
	for at, want := range map[string]string{
		"http://proxy.example:3128": "u:p%40ss", "https://PROXY.example": "u:p%40ss", "socks5://proxy.example": "u:p%40ss",
		"http://port.example:3128": "v:w0rd", "http://port.example:8080": "", "http://port.example": "",
		"http://path.example": "", "http://goauth.example": "", "http://git.example": "", "http://other.example": "",
	} {
		u, err := url.Parse(at)
		require.NoError(t, err)
		require.Equal(t, want, s.Proxy(u).String(), at)
	}
	var none *Store
	require.Nil(t, none.Proxy(&url.URL{Scheme: "http", Host: "proxy.example"}))
}

func TestRewrite(t *testing.T) {
	s, err := Parse(Files{GitConfig: []byte(`
[url "ssh://git@a.example/"]
	insteadOf = https://a.example/
[url "git@a.example:special/"]
	insteadOf = https://a.example/special/
[url "https://u:p4ss@b.example/"]
	insteadOf = https://b.example/
	pushInsteadOf = https://c.example/
`)})
	require.NoError(t, err)
	for from, to := range map[string]string{
		"https://a.example/x":         "ssh://git@a.example/x",
		"https://a.example/special/x": "git@a.example:special/x",
		"https://b.example/x":         "https://b.example/x",
		"https://c.example/x":         "https://c.example/x",
	} {
		require.Equal(t, to, s.Rewrite(from))
	}
	var none *Store
	require.Equal(t, "x", none.Rewrite("x"))
	require.Equal(t, "x", none.Redact("x"))
	require.Empty(t, none.Secrets())
	require.Nil(t, none.Header(&url.URL{Scheme: "https", Host: "a.example"}))
}

// Errors tell the file and the line, and never what is there.
func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		files Files
		want  string
	}{
		"netrc word":        {Files{Netrc: []byte("machine a.example login u pass s3cret\n")}, "secret netrc, line 1: expected one of the words machine, login, password and account"},
		"netrc odd":         {Files{Netrc: []byte("\nmachine a.example login u password s3cret s3cret\n")}, "secret netrc, line 2: the last word has no value"},
		"netrc alone":       {Files{Netrc: []byte("login u\npassword s3cret\n")}, "secret netrc, line 2: a password without machine and login"},
		"netrc machine":     {Files{Netrc: []byte("machine s3cret@a login u password p\n")}, "secret netrc, line 1: the machine is not a host's name"},
		"goauth URL":        {Files{GoAuth: []byte("http://s3cret.example\n\nA: b\n\n")}, "secret goauth, line 1: expected a URL that begins with https://"},
		"goauth userinfo":   {Files{GoAuth: []byte("https://u:s3cret@a.example\n\nA: b\n\n")}, "secret goauth, line 1: expected a URL"},
		"goauth no headers": {Files{GoAuth: []byte("https://s3cret.example\n")}, "secret goauth, line 1: it ends without an empty line and headers"},
		"goauth header":     {Files{GoAuth: []byte("https://a.example\n\ns3cret\n\n")}, "secret goauth, line 3: expected a header, such as"},
		"git any server":    {Files{GitConfig: []byte("[http]\nextraHeader = Authorization: s3cret\n")}, "secret gitconfig, line 2: extraHeader for any server: name the one"},
		"git pattern":       {Files{GitConfig: []byte("[http \"https://*.s3cret\"]\nextraHeader = A: b\n")}, "secret gitconfig, line 2: extraHeader: expected the URL of one server"},
		"git header":        {Files{GitConfig: []byte("[http \"https://a.example\"]\nextraHeader = s3cret\n")}, "secret gitconfig, line 2: expected a header"},
		"git newline":       {Files{GitConfig: []byte("[http \"https://a.example\"]\nextraHeader = \"A: b\\nC: s3cret\"\n")}, "secret gitconfig, line 2: expected a header"},
		"git section":       {Files{GitConfig: []byte("[s3cret\n")}, "secret gitconfig, line 1: expected a section's header"},
		"git name":          {Files{GitConfig: []byte("s3cret = 1\n")}, "secret gitconfig, line 1: expected [section] or name = value"},
		"git quotes":        {Files{GitConfig: []byte("[a]\n\nb = \"s3cret\n")}, "secret gitconfig, line 3: a value whose quotes"},
		"git base":          {Files{GitConfig: []byte("[url \"https://s3cret:@\"]\ninsteadOf = x\n")}, "secret gitconfig, line 2: insteadOf: the section names no URL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tt.files)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestSecrets(t *testing.T) {
	s, err := Parse(Files{
		Netrc:     []byte("machine a.example login robot password p@ss/w0rd\nmachine b.example login ghp_t0ken password x-oauth-basic\n"),
		GoAuth:    []byte("https://c.example\n\nAuthorization: " + basic("u:in-basic") + "\nPrivate-Token: glpat-1\n\n"),
		GitConfig: []byte("[url \"https://tok3n@d.example/\"]\ninsteadOf = x\n"),
	})
	require.NoError(t, err)
	for _, secret := range []string{"p@ss/w0rd", "p%40ss%2Fw0rd", "ghp_t0ken", "in-basic", "glpat-1", "tok3n", strings.TrimPrefix(basic("robot:p@ss/w0rd"), "Basic "), basic("u:in-basic")} {
		require.Contains(t, s.Secrets(), secret)
		require.NotContains(t, s.Redact("was sent "+secret+"!"), secret)
	}
	require.Equal(t, "robot said xxxxx to a.example", s.Redact("robot said p@ss/w0rd to a.example"))
}

// Whatever Larder reads of a git config, git reads so too.
func TestLikeGit(t *testing.T) {
	const text = "\ufeff[a]b=c\n[A \"x\\\"y\\\\z\"]\n# comment\n; comment\n  key-1 = one two\t # three\n[a \"S\"]k=\" q \"  r\\\n s \\\\ \\t\\\"#\nalone\n[Sec.Sub] V = \"a;b\" c;d\nempty =\n[a \"\"]\nx = y\r\n"
	var got []string
	require.NoError(t, scanGitConfig(text, func(v variable) error {
		name := v.section + "." + v.name
		if v.sub != "" {
			name = v.section + "." + v.sub + "." + v.name
		}
		got = append(got, name+"="+v.value)
		return nil
	}))
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	out, err := exec.Command("git", "config", "-z", "--list", "-f", file).CombinedOutput()
	require.NoError(t, err, string(out))
	var want []string
	for _, item := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		name, value, _ := strings.Cut(item, "\n")
		want = append(want, strings.ReplaceAll(name, "a..x", "a.x")+"="+value)
	}
	require.Empty(t, cmp.Diff(want, got))
}

// Nothing in the files makes Parse fail badly, an error show a secret, or a credential go to a host that has none.
func FuzzParse(f *testing.F) {
	f.Add("machine a.example login u password p4ss\n", "https://a.example\n\nAuthorization: Bearer t\n\n", "[url \"https://u:p@a.example/\"]\ninsteadOf = https://b.example/\n")
	f.Add("default login u password p", "https://a.example/x\n\n\n", "[http \"https://a.example/\"]\nextraHeader = A: b\n")
	f.Add("macdef x\n\n", "\n\n\n\n", "[a \"\\\\\"]b=\"\\\n")
	f.Fuzz(func(t *testing.T, netrc, goauth, config string) {
		s, err := Parse(Files{Netrc: []byte(netrc), GoAuth: []byte(goauth), GitConfig: []byte(config)})
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		s.Rewrite("https://b.example/x")
		for name, values := range header(t, s, "https://unnamed.example.test/") {
			require.Contains(t, netrc+goauth+config, "unnamed", "%s: %q", name, values)
		}
		for _, secret := range s.Secrets() {
			require.NotContains(t, s.Redact(secret), secret)
		}
	})
}
