package scaffold

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// bake returns the text of docker-bake.hcl, which builds each image with its tag and labels. args are the Dockerfile's
// build arguments.
func (t *survey) bake(name string, args []string) string {
	var b strings.Builder
	name = t.name(name)
	b.WriteString("# Written by larder init.\n#\n#   docker buildx bake   # or, without Docker: larder bake\n")
	if t.tested() {
		b.WriteString("#   docker buildx bake test\n")
	}
	fmt.Fprintf(&b, "#   VERSION=v1.0.0 REPO=registry.example.com/%s docker buildx bake --push\n", name)
	if len(t.outside) > 0 {
		b.WriteString("#\n# bake asks before it reads folders outside of this one, unless it is called with" + t.allow() + "\n")
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "variable \"REPO\" { default = %q }\nvariable \"VERSION\" { default = \"dev\" }\n", name)
	passed := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "TARGETOS" || a == "TARGETARCH" })
	for _, a := range passed {
		if a != "VERSION" {
			fmt.Fprintf(&b, "variable %q { default = \"\" }\n", a)
		}
	}
	if t.private != "" {
		fmt.Fprintf(&b, "variable \"GOPRIVATE\" { default = %s }\n", hcl(t.private))
		if !slices.Contains(args, "HOME") {
			b.WriteString("variable \"HOME\" { default = \"\" }\n")
		}
		passed = append(passed, "GOPRIVATE")
	}
	fmt.Fprintf(&b, "\ngroup \"default\" {\n  targets = [%s]\n}\n", quoted(t.targets()))
	t.writeCommon(&b, passed)
	for _, p := range t.programs {
		tag := "${REPO}"
		if len(t.programs) > 1 {
			tag += "/" + p.Stage
		}
		fmt.Fprintf(&b, "\ntarget %q {\n  inherits = [\"image\"]\n  target   = %q\n  tags     = [\"%s:${VERSION}\"]\n", p.Stage, p.Stage, tag)
		fmt.Fprintf(&b, "  labels   = { \"org.opencontainers.image.title\" = %q }\n}\n", p.Name)
	}
	return b.String()
}

// writeCommon writes the targets from which the images inherit, and the target of the tests.
func (t *survey) writeCommon(b *strings.Builder, args []string) {
	inherits := ""
	if len(args) > 0 || len(t.outside) > 0 {
		t.writeBase(b, args)
		inherits = "  inherits = [\"base\"]\n"
	}
	b.WriteString("\ntarget \"image\" {\n" + inherits)
	if len(t.platforms) > 0 {
		fmt.Fprintf(b, "  platforms = [%s]\n", quoted(t.platforms))
	}
	b.WriteString("  labels = {\n    \"org.opencontainers.image.version\" = VERSION\n")
	if url := sourceURL(t.modules[0].Path); url != "" {
		fmt.Fprintf(b, "    \"org.opencontainers.image.source\"  = %q\n", url)
	}
	b.WriteString("  }\n}\n")
	if t.tested() {
		b.WriteString("\ntarget \"test\" {\n" + inherits + "  target   = \"test\"\n  output   = [\"type=cacheonly\"]\n}\n")
	}
}

// allow returns the flags that let bake read the folders outside of the tree.
func (t *survey) allow() string {
	dirs := slices.Sorted(maps.Values(t.outside))
	return " --allow=fs.read=" + strings.Join(slices.Compact(dirs), " --allow=fs.read=")
}

const credentials = `  # Private modules are fetched with your credentials: take the # off what has them. bake asks before it
  # reads files outside of this folder, unless it is called with --allow=fs.read=FILE, or with --allow=ssh for an agent.
  # secret = ["id=netrc,src=${HOME}/.netrc"]
  # Or by ssh:
  # secret = ["id=known_hosts,src=${HOME}/.ssh/known_hosts"]
  # ssh    = ["default"]
`

// writeBase writes the settings that every build gets. It doesn't know which credentials open the private modules.
func (t *survey) writeBase(b *strings.Builder, args []string) {
	b.WriteString("\ntarget \"base\" {\n")
	if len(args) > 0 {
		b.WriteString("  args = {\n")
		for _, a := range args {
			fmt.Fprintf(b, "    %s = %s\n", a, a)
		}
		b.WriteString("  }\n")
	}
	if len(t.outside) > 0 {
		b.WriteString("  contexts = {\n")
		for _, name := range slices.Sorted(maps.Keys(t.outside)) {
			fmt.Fprintf(b, "    %s = %s\n", hcl(name), hcl(t.outside[name]))
		}
		b.WriteString("  }\n")
	}
	if t.private != "" {
		b.WriteString(credentials)
	}
	b.WriteString("}\n")
}

func (t *survey) tested() bool {
	return slices.ContainsFunc(t.modules, func(m goModule) bool { return m.tests })
}

func (t *survey) targets() []string {
	var names []string
	for _, p := range t.programs {
		names = append(names, p.Stage)
	}
	return names
}

func quoted(words []string) string {
	var q []string
	for _, w := range words {
		q = append(q, hcl(w))
	}
	return strings.Join(q, ", ")
}

// hcl quotes a text for HCL so that nothing in it is expanded.
func hcl(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strconv.Quote(s))
}

// name returns the name of the images: the program's if there is only one, else the last element of the root module's
// path.
func (t *survey) name(other string) string {
	if len(t.programs) == 1 {
		return t.programs[0].Stage
	}
	if t.modules[0].Dir == "." {
		return stageName(binaryName(t.modules[0].Path))
	}
	return stageName(orElse(other, "app"))
}

// sourceURL returns the address of a module's repository, if the module's path shows it.
func sourceURL(modulePath string) string {
	elements := strings.Split(modulePath, "/")
	if len(elements) < 3 || !slices.Contains([]string{"github.com", "gitlab.com", "bitbucket.org", "codeberg.org"}, elements[0]) {
		return ""
	}
	return "https://" + path.Join(elements[:3]...)
}
