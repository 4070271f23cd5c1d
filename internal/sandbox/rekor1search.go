package sandbox

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// indexSearch is the request of index/retrieve (openapi.yaml, SearchIndex). Members that are empty are as good as absent.
type indexSearch struct {
	Email     string           `json:"email"`
	Hash      string           `json:"hash"`
	Operator  string           `json:"operator"`
	PublicKey *searchPublicKey `json:"publicKey"`
	Subject   string           `json:"subject"`
}

type searchPublicKey struct {
	Format  *string `json:"format"`
	Content []byte  `json:"content"`
}

// hashForm is what may be searched for as a hash.
const hashForm = `^(sha512:)?[0-9a-fA-F]{128}$|^(sha256:)?[0-9a-fA-F]{64}$|^(sha1:)?[0-9a-fA-F]{40}$`

// errMalformedKey is what the server says of a public key that it cannot read.
var errMalformedKey = errors.New("public key provided could not be parsed")

// keyFormats are those of public keys. That of x509 is PEM.
func keyFormats() []string { return []string{"pgp", "x509", "minisign", "ssh", "tuf"} }

// check refuses what the real server refuses, in its words and in its order.
func (s *indexSearch) check(support SubjectSupport) error {
	if s.Email != "" {
		if _, err := mail.ParseAddress(s.Email); err != nil {
			return refused(codeType, "email in body must be of type email: %q", s.Email)
		}
	}
	if ok, err := regexp.MatchString(hashForm, s.Hash); s.Hash != "" && (err != nil || !ok) {
		return refused(codePattern, "hash in body should match '%s'", hashForm)
	}
	if s.Operator != "" && s.Operator != "and" && s.Operator != "or" {
		return refused(codeEnum, "operator in body should be one of [and or]")
	}
	if s.PublicKey != nil {
		switch format := s.PublicKey.Format; {
		case format == nil:
			return refused(codeRequired, "publicKey.publicKey.format in body is required")
		case !slices.Contains(keyFormats(), *format):
			return refused(codeEnum, "publicKey.publicKey.format in body should be one of %v", keyFormats())
		}
	}
	switch {
	case s.Subject == "":
	case support == SubjectIgnored:
		s.Subject = ""
	case support == SubjectRefused:
		return refused(codeUnknown, ".subject in body is a forbidden property")
	case utf8.RuneCountInString(s.Subject) > maxIndexKey:
		return refused(codeTooLong, "subject in body should be at most %d chars long", maxIndexKey)
	}
	return nil
}

// run looks every member up; the operator says how what is found is put together.
func (s *indexSearch) run(x *RekorIndex) ([]string, error) {
	var keys []string
	if s.Hash != "" {
		keys = append(keys, strings.ToLower(prefixedHash(s.Hash)))
	}
	if s.PublicKey != nil {
		canonical, err := s.PublicKey.canonical()
		if err != nil {
			return nil, refused(http.StatusBadRequest, "%v", err)
		}
		keys = append(keys, hexSHA256(canonical)) // bare: only hashedrekord's rows have it
	}
	for _, name := range []string{s.Email, s.Subject} {
		if name != "" {
			keys = append(keys, strings.ToLower(name))
		}
	}
	if cmp.Or(s.Operator, "or") == "or" || len(keys) == 0 {
		return x.lookup(keys...), nil
	}
	found := x.lookup(keys[0])
	for _, key := range keys[1:] {
		also := x.lookup(key)
		found = slices.DeleteFunc(found, func(uuid string) bool { return !slices.Contains(also, uuid) })
	}
	return found, nil
}

// prefixedHash is a hash with its algorithm, which its length tells.
func prefixedHash(hash string) string {
	if strings.Contains(hash, ":") {
		return hash
	}
	return map[int]string{40: "sha1:", 64: "sha256:", 128: "sha512:"}[len(hash)] + hash
}

// canonical is the key in the form that is hashed. No entry of the sandbox has one of another format than x509: of those, it
// is only looked at whether they can be one.
func (k searchPublicKey) canonical() ([]byte, error) {
	if *k.Format == "x509" {
		key, err := parseSignerKey(k.Content)
		if err != nil {
			return nil, errMalformedKey
		}
		return key.canonical, nil
	}
	begins := map[string][]string{
		"pgp":      {"-----BEGIN PGP PUBLIC KEY BLOCK-----"},
		"minisign": {"untrusted comment:", "RW"},
		"ssh":      {"ssh-", "ecdsa-sha2-", "sk-"},
		"tuf":      {"{"},
	}[*k.Format]
	for _, begin := range begins {
		if bytes.HasPrefix(k.Content, []byte(begin)) {
			return k.Content, nil
		}
	}
	return nil, errMalformedKey
}
