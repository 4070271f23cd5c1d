package rekor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

// V1Support says whether a log's search index knows the question for a subject, which it does since rekor 1.5.4.
type V1Support string

// The answers to the probe.
const (
	V1Supported V1Support = "supported"
	// V1Ignored: the server answers as if the question had no subject.
	V1Ignored V1Support = "ignored"
	// V1Refused: the server refuses a question with a subject, and answers one without.
	V1Refused V1Support = "refused"
	// V1Unknown: its answers do not tell.
	V1Unknown V1Support = "unknown"
)

// absentSubject is in no certificate: the name is reserved (RFC 2606 §2).
const absentSubject = "https://absent.invalid/rekoncile/probe"

// V1Specimen is an entry by which the search index is probed.
type V1Specimen struct {
	Entry *V1Entry
	// Subject is the subject alternative name of its signer's certificate, and SHA256 a digest that the index should have
	// it by, such as that of its payload or its artifact.
	Subject, SHA256 string
}

// ProbeSubject finds out whether the search index knows subjects, in at most four requests. It takes an entry that was
// proven, because an empty answer alone tells nothing: a server that does not know subjects gives one, and so does an index
// with a gap. why says what the answer is drawn from, or, of [V1Unknown], what stood in the way. An error is of the
// specimen or of the context.
//
//	subject of the specimen: finds it ─▶ a subject that nobody has: finds nothing ─▶ supported
//	          │ does not                                      └ finds something ─▶ ignored
//	          ▼
//	digest alone: finds nothing ─▶ unknown; else digest *and* a subject that nobody has: nothing ─▶ supported, with a gap
//	                                                                                 └ something ─▶ ignored
func (l *V1Log) ProbeSubject(ctx context.Context, s V1Specimen) (support V1Support, why string, err error) {
	named := V1Query{Subject: s.Subject}
	digest, err := V1Query{SHA256: s.SHA256}.question()
	if err == nil && (s.Entry == nil || named.Match(s.Entry) != V1Confirmed) {
		err = fmt.Errorf("no certificate of it has the subject %q", clip(s.Subject))
	}
	if err != nil {
		return V1Unknown, "", fmt.Errorf("an entry to probe the search index of %s with: %w", l.base, err)
	}
	support, why = l.probe(ctx, s, digest)
	return support, why, context.Cause(ctx)
}

func (l *V1Log) probe(ctx context.Context, s V1Specimen, digest v1IndexQuestion) (V1Support, string) {
	ids, refusal := l.search(ctx, v1IndexQuestion{Subject: s.Subject})
	switch {
	case refusal != nil && !Refused(refusal):
		return V1Unknown, refusal.Error()
	case refusal == nil && slices.ContainsFunc(ids, func(id V1ID) bool { return id.names(s.Entry.ID()) }):
		others, err := l.search(ctx, v1IndexQuestion{Subject: absentSubject})
		switch {
		case err != nil:
			return V1Unknown, err.Error()
		case len(others) > 0:
			return V1Ignored, fmt.Sprintf("it has %d entries of a subject that nobody can have", len(others))
		}
		return V1Supported, "it finds an entry by its subject, and nothing by a subject that nobody has"
	}
	control, err := l.search(ctx, digest)
	switch {
	case err != nil:
		return V1Unknown, err.Error()
	case refusal != nil:
		return V1Refused, refusal.Error()
	case len(control) == 0:
		return V1Unknown, "it finds the entry neither by its subject nor by its digest"
	}
	digest.Subject, digest.Operator = absentSubject, "and"
	both, err := l.search(ctx, digest)
	switch {
	case err != nil:
		return V1Unknown, err.Error()
	case len(both) > 0:
		return V1Ignored, "it finds an entry by its digest and by a subject that nobody has"
	}
	return V1Supported, "a subject that nobody has excludes an entry that its digest finds, but the entry is not found by its own subject: the index has gaps"
}

// Refused says whether a server did not take a question, rather than fail to answer it.
func Refused(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) && (status.Status == http.StatusBadRequest || status.Status == http.StatusUnprocessableEntity)
}

// SubjectAndDigest is what the index has an entry by: the subject of its first signer's certificate, and a SHA-256 of what
// was signed. ok is false for one that lacks either, or cannot be decoded.
func SubjectAndDigest(body []byte) (subject, digest string, ok bool) {
	e, err := Decode(body)
	if err != nil || len(e.Certificates) == 0 {
		return "", "", false
	}
	if subject, err = subjectOf(e.Certificates[0]); err != nil || subject == "" {
		return "", "", false
	}
	for _, h := range slices.Concat(e.ArtifactHashes, e.PayloadHashes) {
		if h.Algorithm == "sha256" {
			return subject, h.Hex, true
		}
	}
	return "", "", false
}
