package audit

import (
	"fmt"

	"golang.org/x/mod/module"
)

// missingSums finds required modules that go.sum has no line of. One without any is not pinned: whoever adds the lines
// takes what comes. If it is only that of the zip, no package of the module may be needed.
func missingSums(units []*unit) []Finding {
	var out []Finding
	for _, u := range units {
		if u.tree.FS == nil {
			continue
		}
		zips, goMods := map[module.Version]bool{}, map[module.Version]bool{}
		for _, s := range u.sums.Zips() {
			zips[s.Module()] = true
		}
		for _, s := range u.sums.GoMods() {
			goMods[s.Module()] = true
		}
		tidy := "go mod tidy"
		told := map[*service]bool{}
		for _, d := range u.dependencies() {
			switch {
			case d.used.Version == "": // a folder has no checksum
			case !u.hasSums:
				if told[d.service] {
					continue
				}
				told[d.service] = true
				f := Finding{Rule: RuleMissingSum, Severity: Error, File: d.service.file, Line: d.service.modLine().line, Module: d.service.mod.Module.Mod.Path}
				f.Message, f.Do = "it requires modules, and there is no go.sum", tidy
				out = append(out, f)
			case !goMods[d.used]:
				f := d.finding(RuleMissingSum, Error)
				f.Message, f.Do = fmt.Sprintf("go.sum has no line for the go.mod of %s", d.used), tidy
				out = append(out, f)
			case !zips[d.used]:
				f := d.finding(RuleMissingSum, Warning)
				f.Message, f.Do = fmt.Sprintf("go.sum has no line for the zip of %s", d.used), tidy
				out = append(out, f)
			}
		}
	}
	return out
}
