// Package configs holds the configurations that come with the program: the preset that is used
// where no file is named, and the JSON Schema that editors check configuration files with. It does
// not read or check any of them: internal/config does.
package configs

import _ "embed"

//go:embed onnx.yaml
var preset string

//go:embed schema.json
var schema string

// Preset returns onnx.yaml, the configuration for no configuration.
func Preset() []byte { return []byte(preset) }

// Schema returns schema.json, the JSON Schema of the configuration file.
func Schema() []byte { return []byte(schema) }
