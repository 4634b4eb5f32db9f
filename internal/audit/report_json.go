package audit

import (
	"encoding/json"
	"io"
)

// WriteJSON writes the report as one JSON object, indented. docs/reference/audit.md describes its fields.
func (r *Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
