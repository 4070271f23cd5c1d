package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	// maxValues bounds how many values are decoded, so that aliases cannot multiply a small file.
	maxValues = 100_000
	// maxTextLength bounds a single value, in bytes.
	maxTextLength = 4096
)

// decodeText reads the one YAML document of a text into the file's form. It returns nil only if the
// text is not one YAML document; everything else that is wrong is reported, and the rest decoded.
func decodeText(r *reporter, text []byte) *rawConfig {
	if !r.checkCharacters(text) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		r.syntax(err)
		return nil
	}
	var document, further yaml.Node
	err = loader.Load(&document)
	switch {
	case errors.Is(err, io.EOF) || err == nil && (len(document.Content) != 1 || document.Content[0].Tag == "!!null"):
		r.report(position{}, "write a configuration, or name no file to use the embedded preset", "the file is empty")
		return nil
	case err != nil:
		r.syntax(err)
		return nil
	}
	if err := loader.Load(&further); err == nil {
		r.report(position{line: further.Line, column: further.Column}, "remove it, or the --- before it", "a second YAML document begins here")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	d := &decoder{reporter: r, left: maxValues}
	raw := new(rawConfig)
	d.value(document.Content[0], reflect.ValueOf(raw).Elem(), "")
	return raw
}

// checkCharacters reports the first character that YAML does not allow; the parser would not tell
// where it is.
func (r *reporter) checkCharacters(text []byte) bool {
	at := position{line: 1, column: 1}
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			r.report(at, "save the file as UTF-8", "the file is not in UTF-8")
			return false
		case c == '\n':
			at = position{line: at.line + 1, column: 0}
		case unicode.IsControl(c) && c != '\t' && c != '\r' && c != '\u0085':
			r.report(at, "remove it", "holds the control character %q", c)
			return false
		}
		at.column++
		i += size
	}
	return true
}

// syntax reports what the YAML parser objects to.
func (r *reporter) syntax(err error) {
	var one *yaml.LoadError
	if !errors.As(err, &one) {
		r.report(position{}, "", "not YAML: %v", err)
		return
	}
	message := one.Message
	if one.ContextMsg != "" {
		message += " " + one.ContextMsg
		if one.ContextMark.Line > 0 && one.ContextMark.Line != one.Mark.Line {
			message += fmt.Sprintf(" that begins on line %d", one.ContextMark.Line)
		}
	}
	r.report(position{line: one.Mark.Line, column: one.Mark.Column}, "", "not YAML: %s", message)
}

// decoder fills the raw types from YAML nodes. Unlike the library's own decoder it knows the path of
// each key, keeps the place of each value for the checks that follow, and goes on after an error.
// How deep it goes is bounded by the types.
type decoder struct {
	*reporter
	left int // values that may still be decoded
}

// nodeDecoder is implemented by types that are neither plain structs nor plain lists.
type nodeDecoder interface {
	decode(d *decoder, n *yaml.Node, at position)
}

// value decodes a node into target and reports what does not fit.
func (d *decoder) value(n *yaml.Node, target reflect.Value, key string) {
	at := position{line: n.Line, column: n.Column, key: key}
	if d.left--; d.left <= 0 {
		if d.left == 0 {
			d.report(at, "use fewer aliases", "the file holds more than %d values", maxValues)
		}
		return
	}
	n = resolved(n)
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		d.report(at, "remove the tag", "has the YAML tag %q", n.Tag)
		return
	case n.Tag == "!!null":
		d.report(at, "give it a value or remove the key", "has no value")
		return
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	if own, ok := target.Addr().Interface().(nodeDecoder); ok {
		own.decode(d, n, at)
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		d.mapping(n, target, at)
	case reflect.Slice:
		d.list(n, target, at)
	default:
		panic("config: the decoder does not know " + target.Type().String())
	}
}

// mapping decodes a mapping into a struct by the struct's yaml tags.
func (d *decoder) mapping(n *yaml.Node, target reflect.Value, at position) {
	if n.Kind == yaml.MappingNode {
		target.FieldByName("At").Set(reflect.ValueOf(at))
	}
	fields := make(map[string]int)
	var keys []string
	for i := range target.NumField() {
		if key := target.Type().Field(i).Tag.Get("yaml"); key != "-" {
			fields[key] = i
			keys = append(keys, key)
		}
	}
	seen := make(map[string]bool)
	for key, value := range d.pairs(n, at) {
		seen[key.text] = true
		i, known := fields[key.text]
		if !known {
			d.unknownKey(key, keys)
			continue
		}
		d.value(value, target.Field(i), key.position.key)
		field := target.Type().Field(i)
		if list := resolved(value); mustHaveItems(field) && list.Kind == yaml.SequenceNode && len(list.Content) == 0 {
			d.report(position{value.Line, value.Column, key.position.key}, writeExample(field), "is empty")
		}
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, key := range keys {
		if field := target.Type().Field(fields[key]); isRequired(field) && !seen[key] {
			d.report(at.child(key), writeExample(field), "missing")
		}
	}
}

// list decodes a sequence into a slice.
func (d *decoder) list(n *yaml.Node, target reflect.Value, at position) {
	if n.Kind != yaml.SequenceNode {
		d.report(at, "write a list: [a, b]", "is %s where a list is expected", kindName(n))
		return
	}
	// An empty list is a list, too: it is not what a missing key is.
	target.Set(reflect.MakeSlice(target.Type(), 0, 0))
	for i, item := range n.Content {
		if d.left <= 0 {
			return
		}
		value := reflect.New(target.Type().Elem()).Elem()
		d.value(item, value, fmt.Sprintf("%s[%d]", at.key, i))
		target.Set(reflect.Append(target, value))
	}
}

// pairs iterates over the keys and values of a mapping. It reports keys that are not names or that
// are given twice, and leaves them out.
func (d *decoder) pairs(n *yaml.Node, at position) func(yield func(word, *yaml.Node) bool) {
	return func(yield func(word, *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			d.report(at, "write keys and values: {key: value}", "is %s where keys are expected", kindName(n))
			return
		}
		lines := make(map[string]int)
		for i := 0; i+1 < len(n.Content) && d.left > 0; i += 2 {
			key := n.Content[i]
			here := position{line: key.Line, column: key.Column, key: at.key}
			switch {
			case key.Tag == "!!merge":
				d.report(here, "write the keys out, or use an alias for a whole value", "holds a merge key (<<)")
				continue
			case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 || key.Value == "" || len(key.Value) > maxTextLength:
				d.report(here, "write a name", "holds a key that is not a name")
				continue
			}
			here.key = joinKey(at.key, key.Value)
			if first, twice := lines[key.Value]; twice {
				d.report(here, "keep one of them", "is given twice, first on line %d", first)
				continue
			}
			lines[key.Value] = key.Line
			if !yield(word{position: here, text: key.Value}, n.Content[i+1]) {
				return
			}
		}
	}
}

// word is a single value as it stands in the file. Nothing is made of it but its text: a version
// 1.20 is not the number 1.2.
type word struct {
	position
	text string
}

// given tells whether there is a value; what was reported while decoding is not given.
func (w word) given() bool { return w.text != "" }

// at is where it stands in the file.
func (w word) at() position { return w.position }

// present tells whether the key is in the file, with whatever value.
func (w word) present() bool { return w.line > 0 }

func (w *word) decode(d *decoder, n *yaml.Node, at position) {
	w.position = at
	switch {
	case n.Kind != yaml.ScalarNode:
		d.report(at, "write a single value", "is %s where one value is expected", kindName(n))
	case n.Value == "":
		d.report(at, "give it a value or remove the key", "is empty")
	case len(n.Value) > maxTextLength:
		d.report(at, "", "is longer than %d bytes", maxTextLength)
	case strings.ContainsFunc(n.Value, unicode.IsControl):
		d.report(at, "write it on one line", "holds a line break or another control character")
	default:
		w.text = n.Value
	}
}

// entries is a mapping whose keys are the operator's own, in the order of the file.
type entries[T any] []entry[T]

type entry[T any] struct {
	key   word
	value T
}

func (e *entries[T]) decode(d *decoder, n *yaml.Node, at position) {
	for key, node := range d.pairs(n, at) {
		one := entry[T]{key: key}
		d.value(node, reflect.ValueOf(&one.value).Elem(), key.position.key)
		*e = append(*e, one)
	}
}

// oneOrMore is a list that may be written as a single value.
type oneOrMore[T any] []T

func (o *oneOrMore[T]) decode(d *decoder, n *yaml.Node, at position) {
	if n.Kind == yaml.SequenceNode {
		var many []T
		d.list(n, reflect.ValueOf(&many).Elem(), at)
		*o = many
		return
	}
	var one T
	d.value(n, reflect.ValueOf(&one).Elem(), at.key)
	*o = oneOrMore[T]{one}
}

// resolved returns what an alias stands for; the parser makes no alias of an alias.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isRequired(f reflect.StructField) bool {
	return slices.Contains(strings.Split(f.Tag.Get("jsonschema"), ","), "required")
}

func mustHaveItems(f reflect.StructField) bool {
	return slices.Contains(strings.Split(f.Tag.Get("jsonschema"), ","), "minItems=1")
}

func writeExample(f reflect.StructField) string {
	return "write for example " + f.Tag.Get("example")
}

// unknownKey reports a key that is not among the keys of its mapping.
func (d *decoder) unknownKey(key word, keys []string) {
	path := withoutIndices(key.position.key)
	switch near := nearest(key.text, keys); {
	case isLater(path):
		d.report(key.position, "remove it", "this version does not have this key yet")
	case path == "rules.off":
		d.report(key.position, "set its severity, or acknowledge what it finds", "a rule cannot be switched off")
	case near != "":
		d.report(key.position, fmt.Sprintf("did you mean %q?", near), "unknown key")
	default:
		d.report(key.position, "the keys here are "+strings.Join(keys, ", "), "unknown key")
	}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}
