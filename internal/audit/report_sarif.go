package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"path"
	"strings"
)

// The parts of SARIF 2.1.0 that Larder writes: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. GitHub
// asks for more than the standard does:
// https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version"` // without a v before it
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		Name             string    `json:"name"` // in Pascal case, and not that of the ID
		ShortDescription sarifText `json:"shortDescription"`
		FullDescription  sarifText `json:"fullDescription"`
		Help             sarifText `json:"help"`
		HelpURI          string    `json:"helpUri"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               string            `json:"level"`
		Message             sarifText         `json:"message"`
		Locations           []sarifLocation   `json:"locations,omitempty"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
		Properties          sarifProperties   `json:"properties"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifProperties struct {
		Image    string `json:"image,omitempty"`
		Platform string `json:"platform,omitempty"`
		Module   string `json:"module,omitempty"`
		Version  string `json:"version,omitempty"`
		ID       string `json:"id,omitempty"`
	}
)

// docs is the page that explains the rules.
const docs = "https://github.com/larder-build/larder/blob/main/docs/reference/audit.md#what-it-finds"

func rule(id, name, short, full, help string) sarifRule {
	return sarifRule{id, name, sarifText{short}, sarifText{full}, sarifText{help}, docs}
}

// rules lists all rules, in the order of docs/reference/audit.md.
var rules = []sarifRule{
	rule(RuleVulnerability, "KnownVulnerability", "A module has a known vulnerability",
		"An error if a function that has it can be called, a warning if a package that has it is imported, else a note.",
		"Use a version of the module in which it is fixed, with go get MODULE@VERSION."),
	rule(RuleMissingSum, "MissingChecksum", "go.sum lacks the checksum of a required module",
		"What no checksum is known of can't be checked, so the go command refuses to build with it.", "Run go mod tidy and commit go.sum."),
	rule(RuleReplaceOutside, "ReplacedOutsideTheTree", "A replace or use line leads out of the tree",
		"Such a line works on the machine that it was written on, and nowhere that has the tree alone.",
		"Put the module into the tree, or require a version of it."),
	rule(RuleReplaceFork, "ReplacedByFork", "A module is replaced by one of another path",
		"The fork gets no updates of the module that it replaces, and is not looked up among its vulnerabilities.",
		"Go back to the module itself once it has what the fork was made for."),
	rule(RuleRetracted, "RetractedVersion", "A required version was retracted",
		"The author took the version back, by a retract line in a newer go.mod.", "Use another version, with go get MODULE@VERSION."),
	rule(RuleDeprecated, "DeprecatedModule", "A required module is deprecated",
		"The author says so in the module's newest go.mod.", "Move to what the author names."),
	rule(RuleVersionSkew, "DifferentVersions", "Services use different versions of a module",
		"What is fixed in one service is not in the other.", "Use the newer version in all of them, with go get MODULE@VERSION."),
	rule(RuleLicense, "LicenceNotAllowed", "A module's licence is missing, unknown or denied",
		"There is no licence file at the module's root, it is not one that is known, or it is one that is not allowed here.",
		"Ask the author for a licence, or do without the module."),
	rule(RuleOld, "OldRelease", "A required version is old",
		"The release is older than is allowed here.", "Look for a newer version, with go list -m -versions MODULE."),
	rule(RuleYoung, "YoungRelease", "A required version is too young, or nobody tells its age",
		"What is slipped into a release is mostly found within days, and this one is younger than is allowed here, or can't be shown to be older.",
		"Use an older version for now."),
	rule(RuleUnchecked, "NotChecked", "Something could not be checked",
		"A fact was not in the folders that the audit was given, so this finding stands for those that may be missing.",
		"Give the audit what the message names."),
}

// WriteSARIF writes the findings as a SARIF 2.1.0 log, which code hosts show beside the lines. version is that of
// larder.
func (r *Report) WriteSARIF(w io.Writer, version string) error {
	index := map[string]int{}
	for i, rule := range rules {
		index[rule.ID] = i
	}
	results := []sarifResult{}
	for _, f := range r.Findings {
		res := sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule], Level: f.Severity.String(), Message: sarifText{f.Message},
			PartialFingerprints: map[string]string{"larderAudit/v1": f.fingerprint()},
			Properties:          sarifProperties{f.Image, f.Platform, f.Module, f.Version, f.ID},
		}
		if f.Do != "" {
			res.Message.Text += "; " + f.Do
		}
		if f.File != "" {
			file := f.File
			if f.Image != "" {
				file = strings.TrimPrefix(file, "/") // below the image's root, and not this machine's
			}
			at := sarifPhysical{ArtifactLocation: sarifArtifact{fileURI(file)}}
			if f.Line > 0 {
				at.Region = &sarifRegion{f.Line}
			}
			res.Locations = []sarifLocation{{at}}
		}
		results = append(results, res)
	}
	return writeJSON(w, sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0",
		Runs: []sarifRun{{
			Tool:    sarifTool{sarifDriver{"larder audit", strings.TrimPrefix(version, "v"), "https://github.com/larder-build/larder", rules}},
			Results: results,
		}},
	})
}

// fingerprint returns an identifier of a finding. It stays the same from run to run, even if the finding's line
// changes.
func (f Finding) fingerprint() string {
	file := f.File
	if f.Image != "" {
		file = f.where()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{f.Rule, file, f.Version, f.ID, cmp.Or(f.Module, f.Message)}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// fileURI returns a file's name as a URI. A relative name stays relative.
func fileURI(name string) string {
	if path.IsAbs(name) {
		return (&url.URL{Scheme: "file", Path: name}).String()
	}
	return (&url.URL{Path: name}).String()
}
