package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

const head = `# syntax=` + Image + `

# Written by larder init. 'larder plan' shows what each line becomes; all else is Dockerfile as ever:
# https://docs.docker.com/reference/dockerfile/
`

// debian is the Debian release on which images with cgo are built and run. The C library at run time has to be the same
// or a newer one.
const debian = "trixie"

// firstDebian is the minor version of the first Go release whose official images exist for that Debian.
const firstDebian = 24

// A stage builds the programs that have the same settings.
type stage struct {
	name     string
	programs []*Program
	env      []word
	flags    []word
	ldflags  word
	caps     string // of the kernel's attribute, in hexadecimal
}

// arguments returns the build arguments that a stage uses.
func (s *stage) arguments() []string {
	return arguments(append(append(slices.Clone(s.env), s.flags...), s.ldflags)...)
}

// dockerfile returns the text of the Dockerfile, and the build arguments in it.
func (t *survey) dockerfile() (string, []string, error) {
	stages, err := t.stages()
	if err != nil {
		return "", nil, err
	}
	var b strings.Builder
	b.WriteString(head)
	var args []string
	for _, s := range stages {
		args = append(args, s.arguments()...)
		t.writeBuild(&b, s)
	}
	t.writeTests(&b)
	if slices.ContainsFunc(t.programs, func(p Program) bool { return p.Cgo != "" && p.settings.base == "" }) {
		b.WriteString("\nFROM static AS roots\n")
	}
	for _, s := range stages {
		for _, p := range s.programs {
			t.writeImage(&b, s.name, p)
		}
	}
	slices.Sort(args)
	return b.String(), slices.Compact(args), nil
}

// stages groups the programs by their settings.
func (t *survey) stages() ([]*stage, error) {
	var stages []*stage
	byKey := map[string]*stage{}
	for i := range t.programs {
		p := &t.programs[i]
		s, err := t.stage(p)
		if err != nil {
			return nil, err
		}
		key := fmt.Sprintf("%q %v %q %q %q %q", p.Module, p.Cgo != "", s.env, s.flags, s.ldflags, s.caps)
		if p.Name != binaryName(p.Import) || s.caps != "" {
			key += " " + p.Dir
		}
		if byKey[key] == nil {
			byKey[key] = s
			stages = append(stages, s)
		}
		byKey[key].programs = append(byKey[key].programs, p)
	}
	for _, s := range stages {
		if s.name = "build"; len(stages) > 1 {
			s.name = "build-" + s.programs[0].Stage
		}
	}
	return stages, nil
}

// stage reads the settings of a program. Without settings its binary is stripped, and stamped with a version if it has
// a variable for that.
func (t *survey) stage(p *Program) (*stage, error) {
	s := &stage{flags: []word{{"-trimpath"}}}
	for _, e := range p.settings.env {
		if err := oneLine(e); err != nil {
			return nil, err
		}
		s.env = append(s.env, word{e.text})
	}
	for _, f := range p.settings.flags {
		if f.text == "-trimpath" {
			continue
		}
		w, err := parseTemplate(f)
		if err = orFirst(oneLine(f), err); err != nil {
			return nil, err
		}
		s.flags = append(s.flags, w)
	}
	for _, l := range p.settings.ldflags {
		l.text = strings.Join(strings.Fields(l.text), " ")
		w, err := parseTemplate(l)
		if err = orFirst(oneLine(l), err); err != nil {
			return nil, err
		}
		s.ldflags = s.ldflags.join(w)
	}
	if !p.settings.ko {
		s.ldflags = word{"-s -w"}
		if v := t.version(p); v != "" {
			s.ldflags = word{"-s -w -X main." + v + "=", "VERSION", ""}
		}
	}
	var err error
	s.caps, err = fileCapabilities(p.settings.caps)
	return s, err
}

// version returns the variable that holds a program's version. A program without one gets the variable of another
// program in its module, so that one line builds both: the linker ignores a missing variable.
func (t *survey) version(p *Program) string {
	for _, other := range t.programs {
		if p.Version == "" && other.Module == p.Module && other.Version != "" {
			return other.Version
		}
	}
	return p.Version
}

func orFirst(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// writeBuild writes the stage that compiles.
func (t *survey) writeBuild(b *strings.Builder, s *stage) {
	first := s.programs[0]
	fmt.Fprintf(b, "\nFROM %s AS %s\n", t.compiler(first), s.name)
	for _, name := range s.arguments() {
		if name == "VERSION" {
			name += "=dev"
		}
		fmt.Fprintf(b, "ARG %s\n", name)
	}
	for _, e := range s.env {
		name, value, _ := strings.Cut(e[0], "=")
		fmt.Fprintf(b, "ENV %s=%s\n", name, word{value}.quote())
	}
	b.WriteString("GO" + moduleFlag(first.Module))
	if first.Cgo != "" {
		b.WriteString(" --cgo")
	}
	b.WriteString(" build")
	for _, f := range s.flags {
		b.WriteString(" " + f.quote())
	}
	if len(s.ldflags) > 0 {
		b.WriteString(` -ldflags="` + s.ldflags.inQuotes() + `"`)
	}
	b.WriteString(" -o /out/")
	if len(s.programs) == 1 {
		b.WriteString(first.Name)
	}
	for _, p := range s.programs {
		b.WriteString(" " + p.Package)
	}
	b.WriteString("\n")
	if s.caps != "" {
		writeCapabilities(b, first, s.caps)
	}
}

// compiler returns the base image of a stage that compiles.
func (t *survey) compiler(p *Program) string {
	if p.Cgo == "" {
		return "go"
	}
	return fmt.Sprintf("golang:%s-%s", t.release(p.Module), debian)
}

// release returns the Go release, such as 1.26, that a module requires, or the first that has an image.
func (t *survey) release(dir string) string {
	for _, m := range t.modules {
		var major, minor int
		if m.Dir != dir || m.mod.Go == nil {
			continue
		}
		if n, _ := fmt.Sscanf(m.mod.Go.Version, "%d.%d", &major, &minor); n == 2 && minor >= firstDebian {
			return fmt.Sprintf("%d.%d", major, minor)
		}
	}
	return fmt.Sprintf("1.%d", firstDebian)
}

func moduleFlag(dir string) string {
	if dir == "." {
		return ""
	}
	return " --module=" + word{dir}.quote()
}

// writeTests writes a stage that runs the tests of each module.
func (t *survey) writeTests(b *strings.Builder) {
	base, flag := "go", ""
	for i := range t.programs {
		if p := &t.programs[i]; p.Cgo != "" {
			base, flag = t.compiler(p), " --cgo"
		}
	}
	first := true
	for _, m := range t.modules {
		if !m.tests {
			continue
		}
		if first {
			fmt.Fprintf(b, "\nFROM %s AS test\n", base)
			first = false
		}
		fmt.Fprintf(b, "GO%s%s test ./...\n", moduleFlag(m.Dir), flag)
	}
}

// writeImage writes the stage of a program's image.
func (t *survey) writeImage(b *strings.Builder, build string, p *Program) {
	base := orElse(p.settings.base, "static")
	if p.Cgo != "" && p.settings.base == "" {
		base = "debian:" + debian + "-slim"
	}
	fmt.Fprintf(b, "\nFROM %s AS %s\n", base, p.Stage)
	user := p.user
	if base != "static" && p.settings.base == "" {
		b.WriteString("COPY --from=roots /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\n" +
			"COPY --from=roots /usr/share/zoneinfo /usr/share/zoneinfo\n")
		user = orElse(user, "65532:65532")
	}
	if user != "" {
		fmt.Fprintf(b, "USER %s\n", user)
	}
	if p.Data {
		fmt.Fprintf(b, "COPY %s\n", paths(path.Join(p.Dir, "kodata"), "/var/run/ko"))
		b.WriteString("ENV KO_DATA_PATH=/var/run/ko\n")
	}
	place := orElse(p.place, "/usr/local/bin/"+p.Name)
	fmt.Fprintf(b, "COPY --from=%s %s\n", build, paths("/out/"+p.Name, place))
	for _, l := range p.labels {
		fmt.Fprintf(b, "LABEL %s=%s\n", word{l.name}.quote(), word{l.value}.quote())
	}
	if len(p.Ports) > 0 {
		fmt.Fprintf(b, "EXPOSE %s\n", strings.Join(p.Ports, " "))
	}
	if len(p.entry) == 0 && len(p.cmd) == 0 {
		fmt.Fprintf(b, "ENTRYPOINT %s\n", words([]string{place}))
	}
	if len(p.entry) > 0 {
		fmt.Fprintf(b, "ENTRYPOINT %s\n", words(p.entry))
	}
	if len(p.cmd) > 0 {
		fmt.Fprintf(b, "CMD %s\n", words(p.cmd))
	}
}

// paths writes the arguments of a COPY.
func paths(from, to string) string {
	if plainWord.MatchString(from) && plainWord.MatchString(to) {
		return from + " " + to
	}
	return words([]string{from, to})
}

// words returns a list of words as JSON.
func words(list []string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(list) // a list of texts has no error
	return strings.ReplaceAll(strings.TrimSpace(b.String()), `","`, `", "`)
}
