package gomod

// PassedOver reports whether "..." passes over a folder of this name: see 'go help packages'. A folder that somebody names is
// looked into all the same.
func PassedOver(name string) bool {
	return name == "testdata" || name == "vendor" || name != "" && (name[0] == '.' || name[0] == '_')
}

// HoldsOthers reports whether modules in a folder of this name are somebody else's, or test data: it is no place to look for
// those of a tree. Many packages of npm have a go.mod.
func HoldsOthers(name string) bool { return name == "node_modules" || PassedOver(name) }
