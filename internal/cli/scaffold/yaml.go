package scaffold

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
)

var yamlPosition = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// yamlLine separates the line from the parser's error text. Without a line it returns 1.
func yamlLine(err error) (int, string) {
	text := err.Error()
	m := yamlPosition.FindStringSubmatch(text)
	if m == nil {
		return 1, text
	}
	line, _ := strconv.Atoi(m[1])
	return max(line, 1), text[len(m[0]):]
}

// eachKey calls f for each key of a mapping, in order. A null value counts as an empty mapping.
func eachKey(node *yaml.Node, where string, f func(key string, value *yaml.Node) error) error {
	if isNull(node) {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return koError(node.Line, "%s: expected names with values", strings.TrimSuffix(orElse(where, koFile), "."))
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if err := f(node.Content[i].Value, resolve(node.Content[i+1])); err != nil {
			return err
		}
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// resolve returns the node that an alias stands for.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// text reads a single value.
func text(name string, node *yaml.Node) (string, error) {
	if node.Kind != yaml.ScalarNode {
		return "", koError(node.Line, "%s: expected a text", name)
	}
	return node.Value, nil
}

// image reads the name of an image.
func image(name string, node *yaml.Node) (string, error) {
	ref, err := text(name, node)
	if err != nil {
		return "", err
	}
	if _, err := reference.ParseNormalizedNamed(ref); err != nil {
		return "", koError(node.Line, "%s: %q: expected the name of an image: %w", name, ref, err)
	}
	return ref, nil
}

// list reads a list of texts, or one text for a list of one.
func list(name string, node *yaml.Node) ([]item, error) {
	if isNull(node) {
		return nil, nil
	}
	if node.Kind == yaml.ScalarNode {
		return []item{{node.Value, node.Line}}, nil
	}
	if node.Kind != yaml.SequenceNode {
		return nil, koError(node.Line, "%s: expected a list of texts", name)
	}
	var items []item
	for _, n := range node.Content {
		value, err := text(name, resolve(n))
		if err != nil {
			return nil, err
		}
		items = append(items, item{value, n.Line})
	}
	return items, nil
}

// fields is like list, but splits a single text at its spaces.
func fields(name string, node *yaml.Node) ([]item, error) {
	items, err := list(name, node)
	if err != nil || node.Kind != yaml.ScalarNode || len(items) == 0 {
		return items, err
	}
	var words []item
	for _, word := range strings.Fields(items[0].text) {
		words = append(words, item{word, items[0].line})
	}
	return words, nil
}
