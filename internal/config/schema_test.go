package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v4"
)

//go:generate go test -run ^TestSchemaIsThatOfTheTypes$ -count=1 . -update

var update = flag.Bool("update", false, "write ../../configs/schema.json anew")

const schemaFile = "../../configs/schema.json"

// The schemas of single values. They are methods in a test file, so that the program does not link
// the generator.

func text() *jsonschema.Schema { return &jsonschema.Schema{Type: "string", MinLength: new(uint64(1))} }

func pattern(p string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: p} }

func oneOf(words ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, word := range words {
		s.Enum = append(s.Enum, word)
	}
	return s
}

func (pathText) JSONSchema() *jsonschema.Schema        { return text() }
func (contactText) JSONSchema() *jsonschema.Schema     { return text() }
func (refText) JSONSchema() *jsonschema.Schema         { return text() }
func (environmentText) JSONSchema() *jsonschema.Schema { return text() }
func (urlText) JSONSchema() *jsonschema.Schema         { return pattern(`^https?://[^?#@]+$`) }
func (issuerText) JSONSchema() *jsonschema.Schema      { return pattern(`^https://.*[^/]$`) }
func (hostText) JSONSchema() *jsonschema.Schema        { return pattern(hostPattern) }
func (rateText) JSONSchema() *jsonschema.Schema        { return pattern(ratePattern) }
func (durationText) JSONSchema() *jsonschema.Schema    { return pattern(durationPattern) }
func (nameText) JSONSchema() *jsonschema.Schema        { return pattern(namePattern) }
func (pypiText) JSONSchema() *jsonschema.Schema        { return pattern(pypiPattern) }
func (dateText) JSONSchema() *jsonschema.Schema        { return pattern(datePattern) }
func (repositoryText) JSONSchema() *jsonschema.Schema  { return pattern(repositoryPattern) }
func (workflowText) JSONSchema() *jsonschema.Schema    { return pattern(workflowPattern) }
func (secretText) JSONSchema() *jsonschema.Schema      { return pattern(variablePattern) }
func (idStateText) JSONSchema() *jsonschema.Schema     { return oneOf(idsConfirmed, idsUnconfirmed) }
func (triggerText) JSONSchema() *jsonschema.Schema     { return oneOf(triggers()...) }
func (runnerText) JSONSchema() *jsonschema.Schema      { return oneOf(runners()...) }
func (emailText) JSONSchema() *jsonschema.Schema       { return pattern(emailPattern) }
func (ownerText) JSONSchema() *jsonschema.Schema       { return pattern(ownerPattern) }
func (fingerprintText) JSONSchema() *jsonschema.Schema { return pattern(fingerprintPattern) }
func (witnessText) JSONSchema() *jsonschema.Schema     { return pattern(witnessPattern) }
func (rekor1Text) JSONSchema() *jsonschema.Schema      { return oneOf(RekorV1Modes()...) }
func (blobText) JSONSchema() *jsonschema.Schema        { return pattern(blobPattern) }
func (scheduleText) JSONSchema() *jsonschema.Schema    { return pattern(`^[^=]+$`) }
func (listenText) JSONSchema() *jsonschema.Schema      { return pattern(`^(off|.+:[0-9]+)$`) }
func (switchText) JSONSchema() *jsonschema.Schema      { return oneOf(switchOn, switchOff) }
func (modeText) JSONSchema() *jsonschema.Schema        { return oneOf(modeFollow, modeOff) }
func (logKindText) JSONSchema() *jsonschema.Schema     { return oneOf(LogKinds()...) }
func (builderText) JSONSchema() *jsonschema.Schema     { return pattern(builderPattern) }
func (sourceText) JSONSchema() *jsonschema.Schema      { return text() }
func (ruleNameText) JSONSchema() *jsonschema.Schema    { return text() }
func (userText) JSONSchema() *jsonschema.Schema        { return text() }
func (zoneText) JSONSchema() *jsonschema.Schema        { return text() }
func (clockText) JSONSchema() *jsonschema.Schema       { return pattern(clockPattern) }
func (slackChanTxt) JSONSchema() *jsonschema.Schema    { return pattern(slackChanPattern) }
func (slackUserText) JSONSchema() *jsonschema.Schema   { return pattern(slackUserPattern) }
func (tlsText) JSONSchema() *jsonschema.Schema         { return oneOf(TLSModes()...) }
func (severityText) JSONSchema() *jsonschema.Schema    { return oneOf(severities()...) }

// A number or a version may be written without quotes, and an editor takes 1.19 for a number then.
func (numberText) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{pattern(numberPattern), {Type: "integer", Minimum: "1"}}}
}

func (levelText) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{pattern(levelPattern), {Type: "integer", Minimum: "1"}}}
}

func (countText) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{pattern(countPattern), {Type: "integer", Minimum: "0"}}}
}

func (startText) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{pattern(startPattern), {Type: "integer", Minimum: "0"}}}
}

func (versionText) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text(), {Type: "number", Minimum: "0"}}}
}

func (entries[T]) JSONSchemaAlias() any { return map[string]T{} }

func (oneOrMore[T]) JSONSchema() *jsonschema.Schema {
	one := reflector().Reflect(*new(T))
	one.Version = ""
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{one, {Type: "array", Items: one}}}
}

func reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{FieldNameTag: "yaml", DoNotReference: true, Anonymous: true, RequiredFromJSONSchemaTags: true}
}

func generateSchema(t *testing.T) []byte {
	t.Helper()
	schema := reflector().Reflect(rawConfig{})
	schema.Title = "Rekoncile's configuration"
	schema.Description = "What to watch, whom to trust and where to send findings. Without a configuration the embedded preset (configs/onnx.yaml) is used."
	generated, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(generated, '\n')
}

func TestSchemaIsThatOfTheTypes(t *testing.T) {
	generated := generateSchema(t)
	if *update {
		if err := os.WriteFile(schemaFile, generated, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	onDisk, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(onDisk), string(generated)); diff != "" {
		t.Errorf("configs/schema.json is not that of the types (- file, + types); run go generate ./internal/config\n%s", diff)
	}
}

func TestEmbeddedFilesAreThoseOnDisk(t *testing.T) {
	for file, embedded := range map[string][]byte{"schema.json": Schema(), "onnx.yaml": Preset()} {
		onDisk, err := os.ReadFile(filepath.Join("../../configs", file))
		if err != nil {
			t.Fatal(err)
		}
		if string(onDisk) != string(embedded) {
			t.Errorf("the embedded %s is not the one on disk", file)
		}
	}
}

func TestSchemaDescribesAndClosesEveryObject(t *testing.T) {
	schema := decodeSchema(t)
	if schema["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", schema["$schema"])
	}
	objects := 0
	var walk func(path string, s map[string]any)
	walk = func(path string, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		if properties != nil {
			objects++
			if s["additionalProperties"] != false {
				t.Errorf("%s: additional properties are not forbidden", path)
			}
		}
		for key, p := range properties {
			property := p.(map[string]any)
			if description, _ := property["description"].(string); !strings.HasSuffix(description, ".") {
				t.Errorf("%s.%s: no description that is a sentence", path, key)
			}
			walk(path+"."+key, property)
		}
		for _, below := range []string{"items", "additionalProperties"} {
			if sub, ok := s[below].(map[string]any); ok {
				walk(path+"/"+below, sub)
			}
		}
	}
	walk("", schema)
	// The file itself, trust, indexes, logs, rekor_v1, rekor_v2, each log, github, projects, repository, also_watch, builders,
	// claims, grades, three kinds of since, expect, rules, schedules, alerts and slack, channels with their seven kinds and quiet hours.
	if objects != 31 {
		t.Errorf("the schema has %d objects with keys, not 31", objects)
	}
}

func TestSchemaAcceptsTheFilesThatComeWithTheProgram(t *testing.T) {
	schema := decodeSchema(t)
	for _, file := range []string{"onnx.yaml", "example.yaml"} {
		t.Run(file, func(t *testing.T) {
			for _, problem := range checkFile(t, schema, filepath.Join("../../configs", file)) {
				t.Error(problem)
			}
		})
	}
}

func TestExampleShowsEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../configs/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		switch {
		case typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice:
			walk(typ.Elem())
		case strings.HasPrefix(typ.Name(), "entry["):
			walk(typ.Field(1).Type)
		case strings.HasPrefix(typ.Name(), "raw"):
			for i := range typ.NumField() {
				key := typ.Field(i).Tag.Get("yaml")
				if key == "-" {
					continue
				}
				if !regexp.MustCompile(`(?m)(^|[ {(])` + key + `: ?`).Match(text) {
					t.Errorf("example.yaml does not show %s of %s", key, typ.Name())
				}
				walk(typ.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeFor[rawConfig]())
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	schema := decodeSchema(t)
	for name, change := range map[string][2]string{
		"unknown key":         {"contact:", "contacts:"},
		"missing key":         {"environment: pypi-release", "runner: any"},
		"unknown trigger":     {"[push]", "[pushed]"},
		"workflow as a path":  {"scorecard.yml", ".github/workflows/scorecard.yml"},
		"empty list":          {"refs: ['refs/heads/main']", "refs: []"},
		"bad repository":      {"name: onnx/onnx,", "name: onnx,"},
		"not a date":          {"2024-11-04}", "04.11.2024}"},
		"not a known state":   {"ids: unconfirmed}", "ids: maybe}"},
		"list for a value":    {"name: onnx\n", "name: [onnx]\n"},
		"hexadecimal id":      {"102692863", "'0x61ef7ff'"},
		"bad publish":         {"publishes: testpypi/onnx\n", "publishes: testpypi/onnx/x\n"},
		"value for a mapping": {"slsa_since: {uploaded: 2026-05-11}", "slsa_since: 2026-05-11"},
	} {
		t.Run(name, func(t *testing.T) {
			preset := string(Preset())
			changed := strings.Replace(preset, change[0], change[1], 1)
			if changed == preset {
				t.Fatal("the preset no longer holds " + change[0])
			}
			file := filepath.Join(t.TempDir(), "changed.yaml")
			if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if len(checkFile(t, schema, file)) == 0 {
				t.Error("the schema accepts it")
			}
			if _, err := Load(file, testOptions()); err == nil {
				t.Error("the decoder accepts it")
			}
		})
	}
}

func decodeSchema(t *testing.T) map[string]any {
	t.Helper()
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// checkFile holds a YAML file against the schema, as an editor does.
func checkFile(t *testing.T, schema map[string]any, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var node yaml.Node
	if err := yaml.Load(text, &node); err != nil {
		t.Fatal(err)
	}
	return checkValue(schema, plain(node.Content[0]), "")
}

// plain makes what JSON would have of a node. A date is text in JSON.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any)
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, plain(item))
		}
		return list
	}
	if n.Tag == "!!int" || n.Tag == "!!float" {
		return json.Number(n.Value)
	}
	return n.Value
}

// checkValue is a validator for the part of JSON Schema that the generator writes; it panics at
// anything else, so that nothing passes because it was not understood.
func checkValue(schema map[string]any, value any, path string) (problems []string) {
	problem := func(format string, args ...any) {
		problems = append(problems, path+": "+fmt.Sprintf(format, args...))
	}
	for keyword, want := range schema {
		switch keyword {
		case "$schema", "title", "description":
		case "type":
			var is bool
			switch v := value.(type) {
			case map[string]any:
				is = want == "object"
			case []any:
				is = want == "array"
			case json.Number:
				is = want == "number" || want == "integer" && !strings.Contains(v.String(), ".")
			case string:
				is = want == "string"
			}
			if !is {
				problem("%v is no %v", value, want)
			}
		case "minimum":
			if n, ok := value.(json.Number); ok && strings.HasPrefix(n.String(), "-") {
				problem("%v is negative", n)
			}
		case "minLength", "minItems":
			if value == "" || reflect.DeepEqual(value, []any{}) {
				problem("is empty")
			}
		case "pattern":
			if s, ok := value.(string); ok && !regexp.MustCompile(want.(string)).MatchString(s) {
				problem("%q does not match %s", s, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), value) {
				problem("%v is not one of %v", value, want)
			}
		case "oneOf":
			fits := 0
			for _, one := range want.([]any) {
				if len(checkValue(one.(map[string]any), value, path)) == 0 {
					fits++
				}
			}
			if fits != 1 {
				problem("%v fits %d of the forms", value, fits)
			}
		case "items":
			list, _ := value.([]any)
			for i, item := range list {
				problems = append(problems, checkValue(want.(map[string]any), item, fmt.Sprintf("%s[%d]", path, i))...)
			}
		case "required":
			for _, key := range want.([]any) {
				if m, ok := value.(map[string]any); ok && m[key.(string)] == nil {
					problem("%v is missing", key)
				}
			}
		case "properties", "additionalProperties":
			properties, _ := schema["properties"].(map[string]any)
			m, _ := value.(map[string]any)
			for key, v := range m {
				sub, known := properties[key].(map[string]any)
				if rest, ok := schema["additionalProperties"].(map[string]any); !known && ok {
					sub, known = rest, true
				}
				switch {
				case !known:
					problem("%s is no key", key)
				default:
					problems = append(problems, checkValue(sub, v, path+"."+key)...)
				}
			}
		default:
			panic("the validator does not know " + keyword)
		}
	}
	return problems
}
