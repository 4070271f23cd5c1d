package rekor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rekoncile/rekoncile/internal/identity"
)

const (
	// maxV1HitBytes bounds an answer of the search index, which has no pages.
	maxV1HitBytes = 8 << 20
	// maxV1Hits is how many hits are taken: a busy workflow signs so often in some months.
	maxV1Hits = 20_000
	// maxV1Subject is the longest subject that the index looks up (rekor, openapi.yaml, "SearchIndex").
	maxV1Subject = 512
)

// V1Query is a question to the search index: one of its members is set.
type V1Query struct {
	// SHA256 is the digest of an artifact, in lower-case hex. The index has it of what was signed, of DSSE payloads and
	// envelopes, and of the subjects of in-toto statements, so that it finds all attestations of a file.
	SHA256 string
	// Subject is a whole subject alternative name. Whether the log knows such questions: see [V1Log.ProbeSubject].
	Subject string
	// Certificate is a signer's certificate in DER, as it was issued: the index has the hash of its PEM.
	Certificate []byte
	// PublicKey is the SubjectPublicKeyInfo in DER of a signer without a certificate.
	PublicKey []byte
}

// String says what is asked for.
func (q V1Query) String() string {
	switch {
	case q.SHA256 != "":
		return "digest sha256:" + clip(q.SHA256)
	case q.Subject != "":
		return fmt.Sprintf("subject %q", clip(q.Subject))
	}
	if len(q.Certificate) > 0 {
		return fmt.Sprintf("certificate %x", sha256.Sum256(q.Certificate))
	}
	return fmt.Sprintf("public key %x", sha256.Sum256(q.PublicKey))
}

// v1IndexQuestion is the body of a search (rekor, openapi.yaml, "SearchIndex").
type v1IndexQuestion struct {
	Hash      string       `json:"hash,omitempty"`
	Subject   string       `json:"subject,omitempty"`
	PublicKey *v1PublicKey `json:"publicKey,omitempty"`
	Operator  string       `json:"operator,omitempty"`
}

type v1PublicKey struct {
	Format  string `json:"format"`
	Content []byte `json:"content"`
}

// ErrUnsearchable says that the index does not look for such a thing: no request was made.
var ErrUnsearchable = errors.New("the search index has no such question")

func (q V1Query) question() (v1IndexQuestion, error) {
	switch [4]bool{q.SHA256 != "", q.Subject != "", len(q.Certificate) > 0, len(q.PublicKey) > 0} {
	case [4]bool{0: true}:
		if raw, err := hex.DecodeString(q.SHA256); err != nil || len(raw) != sha256.Size || strings.ToLower(q.SHA256) != q.SHA256 {
			return v1IndexQuestion{}, fmt.Errorf("%q is not a SHA-256 digest in lower-case hex", clip(q.SHA256))
		}
		return v1IndexQuestion{Hash: "sha256:" + q.SHA256}, nil
	case [4]bool{1: true}:
		if utf8.RuneCountInString(q.Subject) > maxV1Subject {
			return v1IndexQuestion{}, fmt.Errorf("%w: a subject of more than %d characters cannot be searched for", ErrUnsearchable, maxV1Subject)
		}
		return v1IndexQuestion{Subject: q.Subject}, nil
	case [4]bool{2: true}:
		return signerQuestion("CERTIFICATE", q.Certificate), nil
	case [4]bool{3: true}:
		return signerQuestion("PUBLIC KEY", q.PublicKey), nil
	}
	return v1IndexQuestion{}, errors.New("a search is for one thing: a digest, a subject, a certificate or a key")
}

// signerQuestion asks for the hash of a PEM in both of its forms: entries of DSSE and in-toto have a prefix before it,
// hashedrekords do not, and only the search by key asks for the bare one.
func signerQuestion(blockType string, der []byte) v1IndexQuestion {
	text := pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
	sum := sha256.Sum256(text)
	return v1IndexQuestion{
		Hash: "sha256:" + hex.EncodeToString(sum[:]), PublicKey: &v1PublicKey{Format: "x509", Content: text}, Operator: "or",
	}
}

// Search asks the index for the ids of entries. It proves nothing: the index has gaps and outages, its rows are written
// after the entries are and may get lost, and its collation finds more than was asked for. So no hits mean nothing, and a
// hit is one only after [V1Log.Entries] and [V1Query.Match]. The ids are sorted, and none is there twice; more than 20,000
// are cut off, which truncated says.
func (l *V1Log) Search(ctx context.Context, q V1Query) (ids []V1ID, truncated bool, err error) {
	question, err := q.question()
	if err == nil {
		ids, err = l.search(ctx, question)
	}
	if err != nil {
		return nil, false, fmt.Errorf("searching %s for %s: %w", l.base, q, err)
	}
	if truncated = len(ids) > maxV1Hits; truncated {
		ids = ids[:maxV1Hits]
	}
	return ids, truncated, nil
}

func (l *V1Log) search(ctx context.Context, q v1IndexQuestion) ([]V1ID, error) {
	raw, err := l.post(ctx, "/index/retrieve", q, maxV1HitBytes)
	if err != nil {
		return nil, err
	}
	return parseV1Hits(raw)
}

// parseV1Hits reads an answer of the index: a list of UUIDs, in no order.
func parseV1Hits(raw []byte) ([]V1ID, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, errors.New("its answer is not a list of UUIDs")
	}
	var ids []V1ID
	for dec.PeekKind() != ']' {
		t, err := dec.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("its answer: %w", err)
		}
		if t.Kind() != '"' {
			return nil, errors.New("its answer has something that is not a UUID")
		}
		id, err := ParseV1ID(t.String())
		if err != nil {
			return nil, fmt.Errorf("its answer: %w", err)
		}
		ids = append(ids, id)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return sortIDs(ids), atEnd(dec)
}

// V1Match says whether an entry is what was searched for.
type V1Match string

// The matches.
const (
	// V1Confirmed: the entry itself shows it.
	V1Confirmed V1Match = "confirmed"
	// V1Unconfirmed: the entry neither shows nor excludes it. An entry of an envelope has the hash of the statement, and
	// only the statement names the file: whoever has it knows. An entry that cannot be decoded is of this kind as well.
	V1Unconfirmed V1Match = "unconfirmed"
	// V1Other: it is not what was searched for.
	V1Other V1Match = "other"
)

// Match holds a proven entry against the question that found it, byte for byte.
func (q V1Query) Match(e *V1Entry) V1Match {
	entry, err := Decode(e.Body)
	confirmed := false
	undecided := err != nil || entry.UnknownMember != ""
	switch {
	case q.SHA256 != "":
		want := Hash{Algorithm: "sha256", Hex: q.SHA256}
		confirmed = slices.Contains(slices.Concat(entry.ArtifactHashes, entry.PayloadHashes, entry.EnvelopeHashes), want)
		undecided = undecided || len(entry.PayloadHashes)+len(entry.EnvelopeHashes) > 0
	case q.Subject != "":
		for _, der := range entry.Certificates {
			san, err := subjectOf(der)
			confirmed = confirmed || err == nil && san == q.Subject
			undecided = undecided || err != nil
		}
	case len(q.Certificate) > 0:
		confirmed = slices.ContainsFunc(entry.Certificates, func(der []byte) bool { return bytes.Equal(der, q.Certificate) })
	case len(q.PublicKey) > 0:
		confirmed = slices.ContainsFunc(entry.Keys, func(key []byte) bool { return bytes.Equal(key, q.PublicKey) })
	}
	switch {
	case confirmed:
		return V1Confirmed
	case undecided:
		return V1Unconfirmed
	}
	return V1Other
}

// subjectOf is the one subject alternative name of a certificate.
func subjectOf(der []byte) (string, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "", err
	}
	id, err := identity.FromCertificate(cert)
	return id.SAN, err
}
