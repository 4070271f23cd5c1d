package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	statementV01 = "https://in-toto.io/Statement/v0.1"
	statementV1  = "https://in-toto.io/Statement/v1"
)

// checkEnvelope checks a signed statement: the signature first, since nothing in an unsigned statement means anything.
func (r *run) checkEnvelope(ev *evidence, s *signer) {
	env := ev.envelope
	switch sigs := env.GetSignatures(); {
	case len(sigs) == 0:
		r.fail(CheckSignature, "the envelope has no signature")
	case len(sigs) > 1:
		r.unsupported(CheckSignature, "the envelope has %d signatures; a bundle's has one", len(sigs))
	case !s.verifyEnvelope(env.GetPayloadType(), env.GetPayload(), sigs[0].GetSig()):
		r.fail(CheckSignature, "the signature over the statement does not verify with the signer's key")
	default:
		r.pass(CheckSignature, "over %d bytes of type %s", len(env.GetPayload()), env.GetPayloadType())
	}
	sum := sha256.Sum256(env.GetPayload())
	r.res.StatementRaw, r.res.StatementSHA256 = env.GetPayload(), hex.EncodeToString(sum[:])

	if env.GetPayloadType() != payloadTypeInToto {
		r.unsupported(CheckStatement, "payload type %q is not an in-toto statement's", env.GetPayloadType())
		return
	}
	st, err := parseStatement(env.GetPayload())
	if err != nil {
		r.fail(CheckStatement, "the statement %v", err)
		return
	}
	r.res.Statement = st
	if st.Type != statementV1 && (ev.pep740 || st.Type != statementV01) {
		r.differ(CheckStatement, st.Type, statementV1, "the statement's _type is not known")
		return
	}
	r.pass(CheckStatement, "%s", st.Type)
	r.checkPredicate(ev.pep740)
	r.checkSubject(ev.pep740)
}

func (r *run) checkPredicate(pep740 bool) {
	st := r.res.Statement
	switch {
	case st.PredicateType == "":
		r.fail(CheckPredicateType, "the statement has no predicate type")
	case pep740 && st.PredicateType != PredicatePublish && st.PredicateType != PredicateSLSA:
		r.differ(CheckPredicateType, st.PredicateType, PredicatePublish+" or "+PredicateSLSA, "PEP 740 defines no such predicate")
	default:
		r.pass(CheckPredicateType, "%s", st.PredicateType)
	}
	switch {
	case !pep740 || st.PredicateType != PredicatePublish:
		r.skip(CheckPredicate, "the content of %s is not judged here", st.PredicateType)
	case isEmptyPredicate(st.Predicate):
		r.pass(CheckPredicate, "empty, as a publish attestation's is")
	default:
		r.differ(CheckPredicate, string(st.Predicate), "absent, null or {}", "a publish attestation carries something")
	}
}

// isEmptyPredicate: absent, null or {} (PyPI's publish predicate, v1).
func isEmptyPredicate(raw []byte) bool {
	v := jsontext.Value(slices.Clone(raw))
	if len(v) == 0 {
		return true
	}
	return v.Compact() == nil && (string(v) == "null" || string(v) == "{}")
}

// checkSubject looks for the artifact among the subjects. A subject is the artifact's if one digest that is known here is
// equal and none differs.
func (r *run) checkSubject(pep740 bool) {
	st := r.res.Statement
	if pep740 && len(st.Subjects) != 1 {
		r.differ(CheckSubject, fmt.Sprint(len(st.Subjects)), "1", "a PEP 740 attestation has exactly one subject")
		r.skip(CheckSubjectName, "without a subject of its own")
		return
	}
	if len(st.Subjects) == 0 {
		r.fail(CheckSubject, "the statement has no subject")
		r.skip(CheckSubjectName, "without a subject")
		return
	}
	algorithms := []string{algSHA256, algSHA384, algSHA512}
	if pep740 {
		algorithms = algorithms[:1]
	}
	var comparable bool
	var got, want string
	for _, s := range st.Subjects {
		equal, differs := "", false
		for _, alg := range algorithms {
			have, ok := s.Digest[alg]
			if !ok {
				continue
			}
			digest, err := r.artifact.digest(alg)
			if errors.Is(err, errNoDigest) {
				continue
			}
			if err != nil {
				r.fail(CheckSubject, "%v", err)
				return
			}
			comparable, got, want = true, alg+":"+have, alg+":"+digest
			if strings.EqualFold(have, digest) {
				equal = alg
			} else {
				differs = true
			}
		}
		if equal != "" && !differs {
			r.matchedAlgorithm, r.matchedDigest = equal, s.Digest[equal]
			r.pass(CheckSubject, "%s %s", equal, s.Digest[equal])
			r.checkSubjectName(pep740, s.Name)
			return
		}
	}
	r.skip(CheckSubjectName, "without a subject that is the artifact")
	if !comparable {
		// Digests that cannot be compared prove nothing in either direction, except where PEP 740 demands one.
		if pep740 {
			r.fail(CheckSubject, "the subject has no sha256 digest to compare with the artifact's")
		} else {
			r.unsupported(CheckSubject, "no subject has a digest of an algorithm that the artifact's is known in")
		}
		return
	}
	r.differ(CheckSubject, got, want, "the statement is about another file")
}

func (r *run) checkSubjectName(pep740 bool, name string) {
	if !pep740 || r.artifact.name == "" {
		r.skip(CheckSubjectName, "names are compared for PEP 740 only, where the file's is known")
		return
	}
	same, err := r.v.opts.SameName(name, r.artifact.name)
	switch {
	case err != nil:
		r.differ(CheckSubjectName, name, r.artifact.name, "the names cannot be compared: %v", err)
	case !same:
		r.differ(CheckSubjectName, name, r.artifact.name, "the statement names another distribution")
	default:
		r.pass(CheckSubjectName, "%s", name)
	}
}

// parseStatement reads a statement as a stream: the predicate, which may be megabytes, is never built up. Unknown members
// are ignored, duplicate ones refused.
func parseStatement(raw []byte) (*Statement, error) {
	if len(raw) > maxStatementBytes {
		return nil, fmt.Errorf("has %d bytes, more than the %d allowed", len(raw), maxStatementBytes)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	st := new(Statement)
	err := eachMember(dec, func(name string) error {
		switch name {
		case "_type":
			return readString(dec, &st.Type)
		case "predicateType":
			return readString(dec, &st.PredicateType)
		case "predicate":
			v, err := dec.ReadValue()
			st.Predicate = json.RawMessage(bytes.Clone(v))
			return err
		case "subject":
			return readSubjects(dec, st)
		}
		return dec.SkipValue()
	})
	if err != nil {
		return nil, fmt.Errorf("is not valid: %w", err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something behind its JSON object")
	}
	return st, nil
}

func readSubjects(dec *jsontext.Decoder, st *Statement) error {
	if tok, err := dec.ReadToken(); err != nil {
		return err
	} else if tok.Kind() != '[' {
		return fmt.Errorf("%q is not an array", dec.StackPointer())
	}
	for dec.PeekKind() != ']' {
		if len(st.Subjects) == maxSubjects {
			return fmt.Errorf("it has more than the %d subjects allowed", maxSubjects)
		}
		var s Subject
		err := eachMember(dec, func(name string) error {
			switch name {
			case "name":
				return readString(dec, &s.Name)
			case "digest":
				return readDigests(dec, &s)
			}
			return dec.SkipValue()
		})
		if err != nil {
			return err
		}
		st.Subjects = append(st.Subjects, s)
	}
	_, err := dec.ReadToken()
	return err
}

func readDigests(dec *jsontext.Decoder, s *Subject) error {
	s.Digest = map[string]string{}
	return eachMember(dec, func(algorithm string) error {
		if len(s.Digest) == maxDigests {
			return fmt.Errorf("a subject has more than the %d digests allowed", maxDigests)
		}
		var digest string
		err := readString(dec, &digest)
		s.Digest[algorithm] = digest
		return err
	})
}

// eachMember reads an object, calling fn with the decoder in front of each member's value.
func eachMember(dec *jsontext.Decoder, fn func(name string) error) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != '{' {
		return fmt.Errorf("%q is not an object", dec.StackPointer())
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := fn(name.String()); err != nil {
			return err
		}
	}
	_, err = dec.ReadToken()
	return err
}

func readString(dec *jsontext.Decoder, to *string) error {
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != '"' {
		return fmt.Errorf("%q is not a string", dec.StackPointer())
	}
	*to = tok.String()
	return nil
}
