package gomod

// PassedOver reports whether "..." skips a folder of this name: see 'go help packages'. A folder that the user names is
// read all the same.
func PassedOver(name string) bool {
	return name == "testdata" || name == "vendor" || name != "" && (name[0] == '.' || name[0] == '_')
}

// HoldsOthers reports whether modules in a folder of this name belong to others, or are test data. A search for the
// modules of a tree skips such a folder. Many packages of npm have a go.mod.
func HoldsOthers(name string) bool { return name == "node_modules" || PassedOver(name) }
