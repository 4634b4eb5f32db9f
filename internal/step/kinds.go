package step

// kinds returns an empty step of each kind.
func kinds() []Step {
	return []Step{
		&Modules{}, &FetchToolchain{}, &UnpackToolchain{}, &Static{}, &GoCommand{}, &Deps{}, &Baseline{}, &Licenses{}, &SBOM{}, &CheckLibs{},
		&TestResults{}, &TestVerdict{}, &GoLine{},
	}
}

// Modules fetches, checks and unpacks modules into a module cache.
type Modules struct {
	Sums string   // file with the module set, as go.sum
	Out  string   // folder to make
	From []string // folders in GOPROXY layout, or module caches
	Kept string   // folder of files that were fetched before, by h1
	Only string   // file that lists what is unpacked, as a step deps writes it; all if empty

	GoProxy, GoPrivate, GoNoProxy string // of the environment, if empty
}

func (s *Modules) define() definition {
	return definition{kind: "modules", flags: []flagOf{
		required("sums", &s.Sums), required("out", &s.Out), several("from", &s.From), one("kept", &s.Kept), one("only", &s.Only),
		one("goproxy", &s.GoProxy), one("goprivate", &s.GoPrivate), one("gonoproxy", &s.GoNoProxy),
	}}
}

// FetchToolchain downloads the zip of a toolchain.
type FetchToolchain struct {
	Version  string // such as go1.26.1
	Platform string // such as linux/amd64
	Out      string // folder to make
	H1       string // the pinned sum; without one the checksum database is asked

	GoProxy, GoSumDB string // of the environment, if empty
}

func (s *FetchToolchain) define() definition {
	return definition{kind: "fetch-toolchain", flags: []flagOf{
		required("version", &s.Version), required("platform", &s.Platform), one("goproxy", &s.GoProxy), one("gosumdb", &s.GoSumDB),
		required("out", &s.Out), one("h1", &s.H1),
	}}
}

// UnpackToolchain checks the zip of a toolchain and unpacks it.
type UnpackToolchain struct {
	Zip    string
	H1     string // the sum
	H1File string // or a file that has it
	Out    string // folder to make
	Root   string // folder in there for the toolchain
}

func (s *UnpackToolchain) define() definition {
	return definition{kind: "unpack-toolchain", flags: []flagOf{
		required("zip", &s.Zip), one("h1", &s.H1), one("h1-file", &s.H1File), required("out", &s.Out), one("root", &s.Root),
	}}
}

// Static makes the static base.
type Static struct {
	ZoneInfo string // zoneinfo.zip of a toolchain
	Out      string // folder to make
}

func (s *Static) define() definition {
	return definition{kind: "static", flags: []flagOf{required("zoneinfo", &s.ZoneInfo), required("out", &s.Out)}}
}

// GoCommand runs the go command for a build without GO lines.
type GoCommand struct {
	Stamp   string   // folder whose files get a fixed time
	Deps    []string // folders of packages that are compiled already
	Git     string   // folder that has git
	Modules Folders  // parts of GOMODCACHE
	Args    []string // of the go command
}

func (s *GoCommand) define() definition {
	return definition{kind: "go", rest: &s.Args, flags: []flagOf{
		required("stamp", &s.Stamp), several("deps", &s.Deps), one("git", &s.Git), {name: "modules", value: &s.Modules},
	}}
}

// Deps compiles imported packages before the module that imports them.
type Deps struct {
	Imports string   // file of import paths
	Deps    []string // folders of packages that are compiled already
	Dir     string   // the module's folder
	Modules Folders  // parts of GOMODCACHE
	Out     string   // folder to make, or to add to
	Args    []string // of go build
}

func (s *Deps) define() definition {
	return definition{kind: "deps", rest: &s.Args, flags: []flagOf{
		one("imports", &s.Imports), several("deps", &s.Deps), one("dir", &s.Dir), {name: "modules", value: &s.Modules}, one("out", &s.Out),
	}}
}

// Baseline records what a build needs from other modules.
type Baseline struct {
	Key string // what builds have in common that need about the same
	Out string // file to make
}

func (s *Baseline) define() definition {
	return definition{kind: "baseline", flags: []flagOf{required("key", &s.Key), required("out", &s.Out)}}
}

// Licenses detects the licenses of modules.
type Licenses struct {
	Modules string // module cache
	Out     string // folder to make
}

func (s *Licenses) define() definition {
	return definition{kind: "licences", flags: []flagOf{required("modules", &s.Modules), required("out", &s.Out)}}
}

// SBOM makes a bill of materials.
type SBOM struct {
	Root     string   // of the image
	Facts    string   // file of facts that the frontend knows
	Out      string   // folder to make
	Licenses []string // folders that the step Licenses made
}

func (s *SBOM) define() definition {
	return definition{kind: "sbom", flags: []flagOf{
		required("root", &s.Root), required("facts", &s.Facts), required("out", &s.Out), several("licences", &s.Licenses),
	}}
}

// CheckLibs checks that programs find their shared libraries in an image.
type CheckLibs struct {
	Root  string   // of the image
	Paths []string // of programs
}

func (s *CheckLibs) define() definition {
	return definition{kind: "check-libs", rest: &s.Paths, flags: []flagOf{one("root", &s.Root)}}
}

// TestResults joins the results of tests.
type TestResults struct {
	From string // folder of folders of results
	Out  string // folder to make
}

func (s *TestResults) define() definition {
	return definition{kind: "test-results", shown: true, flags: []flagOf{required("from", &s.From), required("out", &s.Out)}}
}

// TestVerdict fails if tests failed.
type TestVerdict struct {
	From   string // folder that the step TestResults made
	Stages string // those that ran the tests, with commas between
}

func (s *TestVerdict) define() definition {
	return definition{kind: "test-verdict", shown: true, flags: []flagOf{required("from", &s.From), required("stages", &s.Stages)}}
}

// GitKind is the kind of the step that acts as git for a go command. Its arguments are git's.
const GitKind = "git"

// GoLine runs the go command of a GO line, in the stage's own file system and environment.
type GoLine struct {
	Dir      string   // where the go command runs
	Target   string   // file of lines KEY=VALUE for the target platform: GOOS, GOARCH, maybe GOARM or GOAMD64
	ModCache string   // GOMODCACHE; ModCache if empty
	Modules  Folders  // GOMODCACHE gets links to what these have
	GoCache  string   // GOCACHE; the stage's own if empty
	Deps     []string // folders of packages that are compiled already, if they are there: copied into GOCACHE
	Commit   string   // a commit.Commit, as JSON: what git tells the go command, in place of a git of the stage's
	Work     string   // GOWORK; off if empty
	Compile  string   // CompilesByOwn or CompilesByImage for a line that only compiles
	Cgo      string   // CGO_ENABLED, true or false, whatever the stage says
	Stdout   string   // file for what go prints on stdout, if it succeeds; an absolute path
	JUnit    string   // file for what tests say, as JUnit XML, if they succeed; an absolute path
	Record   string   // folder for the results of tests, which may fail then; an absolute path
	Libs     string   // folder for the libraries that the programs named by -o need; an absolute path
	Vendor   bool     // take packages from vendor/
	Escape   string   // the file's escape character: \ (if empty) or `
	Env      []string // KEY=VALUE that goes before the stage's variables; GOFLAGS is added to the stage's
	Line     []string // one: all that follows GO and its flags; continuations are joined, variables not expanded
}

// These are the kinds of GoLine.Compile. Such a line runs no code of the tree, and so it has a cache that only such
// lines write.
const (
	CompilesByOwn   = "own"   // with the toolchain of Larder's, which is mounted anew: nothing of the stage is run
	CompilesByImage = "image" // with what the stage has
)

func (s *GoLine) define() definition {
	return definition{kind: "go-line", shown: true, rest: &s.Line, flags: []flagOf{
		required("dir", &s.Dir), one("target", &s.Target), one("modcache", &s.ModCache), {name: "modules", value: &s.Modules},
		one("gocache", &s.GoCache), several("deps", &s.Deps), one("commit", &s.Commit), one("work", &s.Work), one("compile", &s.Compile),
		one("cgo", &s.Cgo), one("stdout", &s.Stdout), one("junit", &s.JUnit), one("record", &s.Record), one("libs", &s.Libs),
		{name: "vendor", value: (*on)(&s.Vendor)}, one("escape", &s.Escape), several("env", &s.Env),
	}}
}

// lineDefaults has the values of flags that a GO line's step leaves out, because BuildKit shows the arguments of a step
// that fails.
func lineDefaults() *GoLine {
	return &GoLine{Dir: Src, Target: LineTarget, GoCache: LineCache, Deps: []string{LineDeps, LineLinked}}
}

func one(name string, value *string) flagOf { return flagOf{name: name, value: (*text)(value)} }

func required(name string, value *string) flagOf {
	return flagOf{name: name, value: (*text)(value), required: true}
}

func several(name string, value *[]string) flagOf { return flagOf{name: name, value: (*list)(value)} }
