package attest

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
)

// Parts is a PEP 740 attestation, or that of a Sigstore bundle, taken apart for other people's tools. Nothing of it is verified.
type Parts struct {
	// Bundle is the Sigstore bundle, in canonical JSON (RFC 8785); that of PEP 740 is of v0.3, and the attestation another spelling of it.
	Bundle []byte
	// Statement is what was signed, PAE its pre-authentication encoding, over which Signature is.
	Statement, PAE, Signature []byte
	// PredicateType is the statement's; "" where what was signed is no statement.
	PredicateType string
	Certificate   []byte // DER
	Entries       []PartEntry
}

// PartEntry is a log entry that an attestation carries.
type PartEntry struct {
	Body       []byte   `json:"-"`
	Checkpoint string   `json:"-"`
	LogIndex   int64    `json:"log_index"`
	TreeIndex  int64    `json:"tree_index"`
	TreeSize   int64    `json:"tree_size"`
	RootHash   []byte   `json:"root_hash"` // base64
	Hashes     [][]byte `json:"hashes"`
}

// TakeApart takes a PEP 740 attestation object apart, within the limits that it is verified in.
func TakeApart(raw []byte) (*Parts, error) {
	r := &run{}
	ev := r.parseAttestation(raw)
	if ev == nil {
		return nil, errors.New("attestation: it cannot be read, see what verifying it says")
	}
	return ev.parts()
}

// TakeApartBundle takes a Sigstore bundle with a DSSE envelope apart, within the limits that it is verified in.
func TakeApartBundle(raw []byte) (*Parts, error) {
	r := &run{}
	ev := r.parseBundle(raw)
	if ev == nil || ev.envelope == nil || ev.certificate == nil {
		return nil, errors.New("bundle: it holds no attestation with a certificate that can be read, see what verifying it says")
	}
	return ev.parts()
}

func (ev *evidence) parts() (*Parts, error) {
	bundle, err := protojson.Marshal(ev.bundle)
	if err != nil {
		return nil, fmt.Errorf("writing an attestation as a bundle: %w", err)
	}
	// protojson's layout differs from build to build, on purpose.
	canonical := jsontext.Value(bundle)
	if err := canonical.Canonicalize(); err != nil {
		return nil, fmt.Errorf("writing an attestation as a bundle: %w", err)
	}
	p := &Parts{Bundle: canonical, Certificate: ev.certificate, Statement: ev.envelope.GetPayload(),
		PAE: pae(ev.envelope.GetPayloadType(), ev.envelope.GetPayload())}
	if s, err := parseStatement(p.Statement); err == nil {
		p.PredicateType = s.PredicateType
	}
	for _, s := range ev.envelope.GetSignatures() {
		p.Signature = s.GetSig()
	}
	for _, e := range ev.entries {
		proof := e.GetInclusionProof()
		p.Entries = append(p.Entries, PartEntry{Body: e.GetCanonicalizedBody(), Checkpoint: proof.GetCheckpoint().GetEnvelope(), LogIndex: e.GetLogIndex(),
			TreeIndex: proof.GetLogIndex(), TreeSize: proof.GetTreeSize(), RootHash: proof.GetRootHash(), Hashes: proof.GetHashes()})
	}
	return p, nil
}
