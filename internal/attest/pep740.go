package attest

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

const (
	payloadTypeInToto = "application/vnd.in-toto+json"

	// PredicatePublish and PredicateSLSA are the predicate types that PEP 740 knows.
	PredicatePublish = "https://docs.pypi.org/attestations/publish/v1"
	PredicateSLSA    = "https://slsa.dev/provenance/v1"
)

// attestationObject is a PEP 740 attestation object.
type attestationObject struct {
	Version              int `json:"version"`
	VerificationMaterial struct {
		Certificate         []byte           `json:"certificate"`
		TransparencyEntries []jsontext.Value `json:"transparency_entries"`
	} `json:"verification_material"`
	Envelope struct {
		Statement []byte `json:"statement"`
		Signature []byte `json:"signature"`
	} `json:"envelope"`
}

// parseAttestation turns a PEP 740 attestation into the bundle v0.3 that it is another spelling of.
func (r *run) parseAttestation(raw []byte) *evidence {
	r.res.Format = "pep740"
	if err := strictjson.Check(raw, maxProvenanceBytes); err != nil {
		r.fail(CheckParse, "the attestation %v", err)
		return nil
	}
	var obj attestationObject
	if err := json.Unmarshal(raw, &obj); err != nil {
		r.fail(CheckParse, "the attestation is not valid: %v", err)
		return nil
	}
	switch {
	case obj.Version > 1:
		r.pass(CheckParse, "")
		r.unsupported(CheckMediaType, "attestation version %d is later than the 1 that is known here", obj.Version)
		return nil
	case obj.Version < 1:
		r.fail(CheckParse, "the attestation's version is missing or not positive")
		return nil
	case len(obj.VerificationMaterial.TransparencyEntries) > maxEntries:
		r.fail(CheckParse, "%d log entries are more than the %d allowed", len(obj.VerificationMaterial.TransparencyEntries), maxEntries)
		return nil
	}
	vm := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_Certificate{
		Certificate: &protocommon.X509Certificate{RawBytes: obj.VerificationMaterial.Certificate},
	}}
	for i, rawEntry := range obj.VerificationMaterial.TransparencyEntries {
		e := new(protorekor.TransparencyLogEntry)
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(rawEntry, e); err != nil {
			r.fail(CheckParse, "/verification_material/transparency_entries/%d is not a log entry: %v", i, err)
			return nil
		}
		vm.TlogEntries = append(vm.TlogEntries, e)
	}
	r.pass(CheckParse, "")
	r.pass(CheckMediaType, "PEP 740 attestation, version 1")
	ev := r.bundleEvidence(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: vm,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload:     obj.Envelope.Statement,
			PayloadType: payloadTypeInToto,
			Signatures:  []*protodsse.Signature{{Sig: obj.Envelope.Signature}},
		}},
	}, "v0.3")
	if ev != nil {
		ev.pep740 = true
	}
	return ev
}
