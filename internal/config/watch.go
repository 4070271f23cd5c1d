package config

import (
	"net/mail"
	"strings"
)

// AlsoWatch are names besides the repository's that the logs are searched for. What is signed in them is recorded; it is
// a finding only where it is on a file of the project.
type AlsoWatch struct {
	// Emails are addresses of people who may sign by hand.
	Emails []string
	// Owners are owners on GitHub, all of whose repositories are watched.
	Owners []string
	// KeyFingerprints are the hex SHA-256 of keys' SubjectPublicKeyInfos, in small letters.
	KeyFingerprints []string
}

type (
	emailText       struct{ word }
	ownerText       struct{ word }
	fingerprintText struct{ word }
)

const (
	ownerPattern       = `^[A-Za-z0-9]([A-Za-z0-9-]{0,37}[A-Za-z0-9])?$`
	fingerprintPattern = `^[0-9A-Fa-f]{64}$`
	emailPattern       = `^[^@\s]+@[^@\s]+$`
)

type rawAlsoWatch struct {
	At              position          `yaml:"-"`
	Emails          []emailText       `yaml:"emails" jsonschema_description:"E-mail addresses of people who may sign by hand."`
	Owners          []ownerText       `yaml:"owners" jsonschema_description:"Owners on GitHub, all of whose repositories are watched."`
	KeyFingerprints []fingerprintText `yaml:"key_fingerprints" jsonschema_description:"Keys that sign without a certificate: the hex SHA-256 of their SubjectPublicKeyInfo (DER)."`
}

type shownAlsoWatch struct {
	Emails          []string `yaml:"emails,omitempty,flow"`
	Owners          []string `yaml:"owners,omitempty,flow"`
	KeyFingerprints []string `yaml:"key_fingerprints,omitempty,flow"`
}

func (v emailText) parse(r *reporter) (string, bool) {
	if !v.given() {
		return "", false
	}
	if a, err := mail.ParseAddress(v.text); err != nil || a.Address != v.text {
		r.report(v.position, "write an address such as release@example.org", "%q is not an e-mail address", v.text)
		return "", false
	}
	return v.text, true
}

func (v ownerText) parse(r *reporter) (string, bool) {
	if !v.given() {
		return "", false
	}
	if !matches(ownerPattern, v.text) {
		r.report(v.position, "write the name that stands in https://github.com/OWNER", "%q is not an owner on GitHub", v.text)
		return "", false
	}
	return v.text, true
}

func (v fingerprintText) parse(r *reporter) (string, bool) {
	if !v.given() {
		return "", false
	}
	if !matches(fingerprintPattern, v.text) {
		r.report(v.position, "write 64 hex digits, such as `openssl pkey -pubin -in key.pem -outform DER | sha256sum` prints", "%q is not the SHA-256 of a key", v.text)
		return "", false
	}
	return strings.ToLower(v.text), true
}

func (r *resolver) alsoWatch(raw *rawAlsoWatch) AlsoWatch {
	if raw == nil {
		return AlsoWatch{}
	}
	return AlsoWatch{
		Emails:          distinct(r, raw.Emails),
		Owners:          distinct(r, raw.Owners),
		KeyFingerprints: distinct(r, raw.KeyFingerprints),
	}
}
