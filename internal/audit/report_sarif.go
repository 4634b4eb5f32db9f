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

// The parts of SARIF 2.1.0 that are used here: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html.
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
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
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
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifProperties struct {
		Module  string `json:"module,omitempty"`
		Version string `json:"version,omitempty"`
		ID      string `json:"id,omitempty"`
	}
)

// rules are all rules, in the order of docs/audit.md.
var rules = []sarifRule{
	{RuleVulnerability, sarifText{"A module has a known vulnerability"}},
	{RuleMissingSum, sarifText{"go.sum lacks the checksum of a required module"}},
	{RuleReplaceOutside, sarifText{"A replace or use line leads out of the tree"}},
	{RuleReplaceFork, sarifText{"A module is replaced by one of another path"}},
	{RuleRetracted, sarifText{"A required version was retracted"}},
	{RuleDeprecated, sarifText{"A required module is deprecated"}},
	{RuleVersionSkew, sarifText{"Services use different versions of a module"}},
	{RuleLicence, sarifText{"A module's licence is missing, unknown or denied"}},
	{RuleOld, sarifText{"A required version is old"}},
	{RuleUnchecked, sarifText{"Something could not be checked"}},
}

// WriteSARIF writes the findings as a SARIF 2.1.0 log, which code hosts take to show them beside the lines.
func (r *Report) WriteSARIF(w io.Writer) error {
	index := map[string]int{}
	for i, rule := range rules {
		index[rule.ID] = i
	}
	results := []sarifResult{}
	for _, f := range r.Findings {
		res := sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule], Level: f.Severity.String(), Message: sarifText{f.Message},
			PartialFingerprints: map[string]string{"larderAudit/v1": f.fingerprint()},
			Properties:          sarifProperties{f.Module, f.Version, f.ID},
		}
		if f.Do != "" {
			res.Message.Text += "; " + f.Do
		}
		if f.File != "" {
			res.Locations = []sarifLocation{{sarifPhysical{sarifArtifact{fileURI(f.File)}, sarifRegion{f.Line}}}}
		}
		results = append(results, res)
	}
	return writeJSON(w, sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0",
		Runs: []sarifRun{{
			Tool:    sarifTool{sarifDriver{"larder audit", "https://github.com/larder-build/larder", rules}},
			Results: results,
		}},
	})
}

// fingerprint names a finding alike from run to run, whatever its line.
func (f Finding) fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.Rule, f.File, f.Version, f.ID, cmp.Or(f.Module, f.Message)}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// fileURI makes a URI of a file's name: relative names stay so.
func fileURI(name string) string {
	if path.IsAbs(name) {
		return (&url.URL{Scheme: "file", Path: name}).String()
	}
	return (&url.URL{Path: name}).String()
}
