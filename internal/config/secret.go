package config

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"unicode"
)

// maxSecretSize bounds a secret's file, in bytes.
const maxSecretSize = 64 << 10

// Secret is where a secret is kept: a file or an environment variable. It does not hold the secret,
// so whatever prints a Secret prints only the place.
type Secret struct {
	file     string
	variable string
	getenv   func(string) string
}

// Read fetches the secret from where it is kept, without the white space around it. It fails if the
// place is missing, empty, larger than 64 KiB, or holds more than one line. No error tells anything
// of the secret.
func (s Secret) Read() (string, error) {
	var text string
	switch {
	case s.file != "":
		raw, err := readCapped(s.file, maxSecretSize)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		text = string(raw)
	case s.variable != "":
		text = s.getenv(s.variable)
	default:
		return "", errors.New("read secret: none is configured")
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fmt.Errorf("read secret: %s is empty or not set", s.place())
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", fmt.Errorf("read secret: %s holds more than one line of text; leave only the secret there", s.place())
	}
	return text, nil
}

func (s Secret) place() string {
	switch {
	case s.file != "":
		return "file " + s.file
	case s.variable != "":
		return "variable " + s.variable
	}
	return "nowhere"
}

// String returns the secret's place, as in "[secret in file /run/secrets/slack]".
func (s Secret) String() string { return "[secret in " + s.place() + "]" }

// GoString does what String does, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText does what String does, for JSON and whatever else encodes text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML does what String does.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue does what String does, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// secret reads a pair of keys of which exactly one must be given: NAME_file with a path, or NAME
// with a reference to a variable. No message repeats a value: it may be the secret itself.
func (r *resolver) secret(at position, name string, file pathText, reference secretText) Secret {
	s := Secret{getenv: r.options.Getenv}
	instead := fmt.Sprintf("put it in a file (%s_file: PATH) or in a variable (%s: \"${VARIABLE}\")", name, name)
	switch {
	case file.present() && reference.present():
		r.report(reference.position, "keep one of them", "stands beside %s_file", name)
	case file.given() && strings.Contains(file.text, "://"):
		r.report(file.position, instead, "holds a URL where a path is expected")
	case file.given():
		s.file = r.path(file)
	case reference.given():
		match := regexp.MustCompile(variablePattern).FindStringSubmatch(reference.text)
		if match == nil {
			r.report(reference.position, instead, "holds the secret itself or an incomplete reference to it")
			return s
		}
		s.variable = match[1]
	case !file.present() && !reference.present():
		r.report(at.child(name), instead, "missing")
	}
	return s
}
