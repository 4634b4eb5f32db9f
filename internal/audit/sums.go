package audit

import (
	"fmt"

	"golang.org/x/mod/module"
)

// missingSums finds required modules without a line in go.sum. A module without any line isn't pinned: whoever adds its
// lines accepts what a server sends. If only the line of the zip is missing, perhaps no package of the module is
// needed.
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
