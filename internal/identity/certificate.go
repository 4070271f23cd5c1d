package identity

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxExtension caps the value of one extension in bytes: OIDC tokens that Fulcio accepts are smaller than this.
const maxExtension = 16 << 10

// maxUnknownExtensions caps how many extensions of the arc that this version does not know are kept.
const maxUnknownExtensions = 64

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	// oidFulcio is the arc of Fulcio's extensions; what follows it is their number.
	oidFulcio    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}
	oidOtherName = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
)

// FromCertificate reads the identity that a certificate carries. It insists on what Fulcio issues: exactly one subject
// alternative name in all, of a kind that Fulcio knows; each extension at most once; .1 to .6 as raw text, .8 to .24 as
// one DER UTF8String with nothing behind it, all of it valid UTF-8; and .1 equal to .8 where both are there. Extensions
// of the arc that it does not know are kept raw. The issuer is "" in a certificate that has neither .8 nor .1.
func FromCertificate(cert *x509.Certificate) (Identity, error) {
	id, err := fromCertificate(cert)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the identity in a certificate: %w", err)
	}
	return id, nil
}

func fromCertificate(cert *x509.Certificate) (Identity, error) {
	var (
		id               Identity
		deprecatedIssuer string
		sanSeen          bool
		err              error
	)
	fields := map[int]*string{
		2: &id.GitHubWorkflowTrigger, 3: &id.GitHubWorkflowSHA, 4: &id.GitHubWorkflowName,
		1: &deprecatedIssuer, 5: &id.GitHubWorkflowRepository, 6: &id.GitHubWorkflowRef,
		8: &id.Issuer, 9: &id.BuildSignerURI, 10: &id.BuildSignerDigest, 11: &id.RunnerEnvironment,
		12: &id.SourceRepositoryURI, 13: &id.SourceRepositoryDigest, 14: &id.SourceRepositoryRef,
		15: &id.SourceRepositoryID, 16: &id.SourceRepositoryOwnerURI, 17: &id.SourceRepositoryOwnerID,
		18: &id.BuildConfigURI, 19: &id.BuildConfigDigest, 20: &id.BuildTrigger, 21: &id.RunInvocationURI,
		22: &id.SourceRepositoryVisibility, 23: &id.DeploymentEnvironment, 24: &id.TokenSubject,
	}
	seen := map[string]bool{}
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidSubjectAltName) {
			if sanSeen {
				return Identity{}, errors.New("it has two subject alternative name extensions")
			}
			sanSeen = true
			if id.SAN, id.SANType, err = parseSAN(ext.Value); err != nil {
				return Identity{}, fmt.Errorf("subject alternative name: %w", err)
			}
			continue
		}
		number, ok := fulcioNumber(ext.Id)
		if !ok {
			continue
		}
		if seen[number] {
			return Identity{}, fmt.Errorf("it has extension .%s twice", number)
		}
		seen[number] = true
		if len(ext.Value) > maxExtension {
			return Identity{}, fmt.Errorf("extension .%s has %d bytes, more than %d", number, len(ext.Value), maxExtension)
		}
		n, err := strconv.Atoi(number)
		field := fields[n]
		if err != nil || field == nil {
			if len(id.UnknownExtensions) == maxUnknownExtensions {
				return Identity{}, fmt.Errorf("it has more than %d unknown extensions", maxUnknownExtensions)
			}
			if id.UnknownExtensions == nil {
				id.UnknownExtensions = map[string][]byte{}
			}
			// A copy: the certificate's raw bytes must not be kept alive by one value of it.
			id.UnknownExtensions[number] = append([]byte{}, ext.Value...)
			continue
		}
		if *field, err = extensionText(n, ext.Value); err != nil {
			return Identity{}, fmt.Errorf("extension .%s: %w", number, err)
		}
	}
	if !sanSeen {
		return Identity{}, errors.New("it has no subject alternative name")
	}
	if seen["1"] {
		if seen["8"] && id.Issuer != deprecatedIssuer {
			return Identity{}, fmt.Errorf("it names two issuers, %q in extension .8 and %q in .1", id.Issuer, deprecatedIssuer)
		}
		id.Issuer = deprecatedIssuer
	}
	return id, nil
}

// fulcioNumber is what follows Fulcio's arc in oid, such as "12".
func fulcioNumber(oid asn1.ObjectIdentifier) (string, bool) {
	if len(oid) <= len(oidFulcio) || !oid[:len(oidFulcio)].Equal(oidFulcio) {
		return "", false
	}
	return oid[len(oidFulcio):].String(), true
}

// extensionText decodes the value of extension .n: .1 to .6 are text without any wrapper, the others DER.
func extensionText(n int, value []byte) (string, error) {
	if n > 6 {
		in := cryptobyte.String(value)
		var text cryptobyte.String
		if !in.ReadASN1(&text, cryptobyteasn1.UTF8String) {
			return "", errors.New("its value is not a DER UTF8String")
		}
		if !in.Empty() {
			return "", errors.New("bytes follow its UTF8String")
		}
		value = text
	}
	if !utf8.Valid(value) {
		return "", errors.New("its text is not valid UTF-8")
	}
	return string(value), nil
}

// The context-specific tags of GeneralName (RFC 5280 §4.2.1.6) that Fulcio uses.
var (
	tagOtherName = cryptobyteasn1.Tag(0).ContextSpecific().Constructed()
	tagEmail     = cryptobyteasn1.Tag(1).ContextSpecific()
	tagURI       = cryptobyteasn1.Tag(6).ContextSpecific()
)

// parseSAN reads the value of a subject alternative name extension that holds exactly one name. It reads the raw
// extension because crypto/x509 skips the kinds of name that it does not know, and a skipped name is not counted.
func parseSAN(value []byte) (san, sanType string, err error) {
	in := cryptobyte.String(value)
	var names cryptobyte.String
	if !in.ReadASN1(&names, cryptobyteasn1.SEQUENCE) || !in.Empty() {
		return "", "", errors.New("it is not one DER sequence")
	}
	var (
		name  cryptobyte.String
		tag   cryptobyteasn1.Tag
		count int
	)
	for !names.Empty() {
		if !names.ReadAnyASN1(&name, &tag) {
			return "", "", errors.New("it holds a malformed name")
		}
		count++
	}
	if count != 1 {
		return "", "", fmt.Errorf("it holds %d names where Fulcio writes exactly one", count)
	}
	if len(name) > maxExtension {
		return "", "", fmt.Errorf("it has %d bytes, more than %d", len(name), maxExtension)
	}
	switch tag {
	case tagURI:
		san, sanType = string(name), SANTypeURI
		err = checkURI(san)
	case tagEmail:
		san, sanType = string(name), SANTypeEmail
	case tagOtherName:
		sanType = SANTypeOtherName
		san, err = parseOtherName(name)
	default:
		err = fmt.Errorf("it is of a kind (tag 0x%02x) that Fulcio does not issue", uint8(tag))
	}
	if err != nil {
		return "", "", err
	}
	if san == "" {
		return "", "", errors.New("it is empty")
	}
	if sanType != SANTypeOtherName && !isASCII(san) {
		return "", "", errors.New("its text is not ASCII")
	}
	if !utf8.ValidString(san) || strings.ContainsFunc(san, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", "", errors.New("its text has control characters or is not valid UTF-8")
	}
	return san, sanType, nil
}

// checkURI refuses a URI that changes when it is parsed and written again: some readers of the certificate would
// see one text and some the other. Fulcio writes its URIs by that very function.
func checkURI(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("its URI does not parse: %w", err)
	}
	if again := u.String(); again != raw {
		return fmt.Errorf("its URI %q reads %q when written again", raw, again)
	}
	return nil
}

// parseOtherName reads the inside of an OtherName: Fulcio's type and one explicitly tagged UTF8String.
func parseOtherName(in cryptobyte.String) (string, error) {
	var (
		typeID          asn1.ObjectIdentifier
		explicit, value cryptobyte.String
	)
	if !in.ReadASN1ObjectIdentifier(&typeID) {
		return "", errors.New("its OtherName has no type")
	}
	if !typeID.Equal(oidOtherName) {
		return "", fmt.Errorf("its OtherName is of type %s, not of Fulcio's %s", typeID, oidOtherName)
	}
	if !in.ReadASN1(&explicit, tagOtherName) || !in.Empty() ||
		!explicit.ReadASN1(&value, cryptobyteasn1.UTF8String) || !explicit.Empty() {
		return "", errors.New("its OtherName is not one DER UTF8String")
	}
	return string(value), nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
