package testkit

import (
	"bytes"
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/spdx-2.3.schema.json
var spdxSchema []byte

//go:embed testdata/openvex-0.2.0.schema.json
var openVEXSchema []byte

// RequireOpenVEX fails a test whose document isn't what the JSON schema of OpenVEX 0.2.0 allows.
func RequireOpenVEX(t testing.TB, document string) {
	t.Helper()
	require.NoError(t, openVEX(t, document))
}

func openVEX(t testing.TB, document string) error {
	const url = "https://github.com/openvex/spec/openvex_json_schema_0.2.0.json"
	return validate(t, url, map[string][]byte{url: openVEXSchema}, document)
}

// RequireSPDX fails the test if a document doesn't match the JSON schema of SPDX 2.3.
func RequireSPDX(t testing.TB, document string) {
	t.Helper()
	require.NoError(t, spdx(t, document))
}

// RequireCycloneDX fails the test if a document doesn't match the JSON schema of CycloneDX 1.6.
func RequireCycloneDX(t testing.TB, document string) {
	t.Helper()
	require.NoError(t, cycloneDX(t, document))
}

func spdx(t testing.TB, document string) error {
	const url = "http://spdx.org/rdf/terms/2.3"
	return validate(t, url, map[string][]byte{url: spdxSchema}, document)
}

// cycloneDX checks a document against the format's schemas. It takes them from the format's Go module.
func cycloneDX(t testing.TB, document string) error {
	const base = "http://cyclonedx.org/schema/"
	dir, err := goCommand(Root(t), "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go")
	require.NoError(t, err)
	schemas := map[string][]byte{}
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		schemas[base+name], err = os.ReadFile(filepath.Join(strings.TrimSpace(dir), "schema", file))
		require.NoError(t, err)
	}
	return validate(t, base+"bom-1.6.schema.json", schemas, document)
}

// validate checks a document against the schema at a URL. It fetches nothing: schemas has all schemas by their URLs.
func validate(t testing.TB, url string, schemas map[string][]byte, document string) error {
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	c.AssertFormat()
	for url, text := range schemas {
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err, url)
		require.NoError(t, c.AddResource(url, schema))
	}
	schema, err := c.Compile(url)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	require.NoError(t, err)
	return schema.Validate(value)
}
