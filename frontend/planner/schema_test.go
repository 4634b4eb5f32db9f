package planner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The document lists each field of a plan in JSON, with its comment in the code. Whoever takes a field away or changes its
// type has to change the document, and sees PlanSchema.
func TestPlanSchema(t *testing.T) {
	const file = "../../docs/reference/plan.md"
	comments := fieldComments(t, ".", "../../internal/commit")
	// Of BuildKit, see package parser.
	comments["Range.Start"], comments["Range.End"] = "where it begins", "where it ends"
	comments["Position.Line"], comments["Position.Character"] = "from 1", "from 0, in bytes"
	table := "| field | type | meaning |\n| --- | --- | --- |\n| `schema` | integer | The version of this format. |\n"
	var rows func(prefix string, typ reflect.Type)
	rows = func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			field := typ.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "-" || !field.IsExported() {
				continue
			}
			if name == "" {
				name = field.Name
			}
			inner, suffix := field.Type, ""
			for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
				if inner.Kind() == reflect.Slice {
					suffix = "[]"
				}
				inner = inner.Elem()
			}
			require.NotEmpty(t, comments[typ.Name()+"."+field.Name], "say in a comment what %s.%s is", typ.Name(), field.Name)
			table += fmt.Sprintf("| `%s%s%s` | %s | %s |\n", prefix, name, suffix, jsonType(t, inner.Kind()), comments[typ.Name()+"."+field.Name])
			if inner.Kind() == reflect.Struct {
				rows(prefix+name+suffix+".", inner)
			}
		}
	}
	rows("", reflect.TypeFor[Plan]())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	head, _, found := bytes.Cut(text, []byte("-->\n\n"))
	require.True(t, found)
	want := string(head) + "-->\n\n" + table
	if *update {
		text = []byte(want)
		require.NoError(t, os.WriteFile(file, text, 0o644))
	}
	require.Equal(t, want, string(text), "run 'go test ./frontend/planner -run TestPlanSchema -update', and see whether PlanSchema has to change")
	require.Contains(t, string(head), fmt.Sprintf("now %d.", PlanSchema))
}

func jsonType(t *testing.T, kind reflect.Kind) string {
	name, known := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Struct: "object"}[kind]
	require.True(t, known, kind.String())
	return name
}

// fieldComments returns what is said of the fields of structs, by TYPE.FIELD, in one sentence.
func fieldComments(t *testing.T, dirs ...string) map[string]string {
	comments := map[string]string{}
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, name := range names {
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			require.NoError(t, err)
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				fields, ok := spec.Type.(*ast.StructType)
				if !ok {
					return true
				}
				for _, f := range fields.Fields.List {
					text := f.Comment.Text()
					if text == "" {
						text = f.Doc.Text()
					}
					text = strings.Join(strings.Fields(text), " ")
					for _, id := range f.Names {
						comments[spec.Name.Name+"."+id.Name] = strings.ReplaceAll(text, "|", `\|`)
					}
				}
				return true
			})
		}
	}
	return comments
}

// A plan in JSON has no field twice, and can be read again.
func TestPlanJSON(t *testing.T) {
	data, err := json.Marshal(struct {
		Schema int `json:"schema"`
		*Plan
	}{PlanSchema, &Plan{Dockerfile: "FROM scratch\n"}})
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(data, &fields))
	require.EqualValues(t, PlanSchema, fields["schema"])
	require.Equal(t, "FROM scratch\n", fields["dockerfile"])
}
