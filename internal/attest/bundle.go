package attest

import (
	"regexp"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

// evidence is parsed input, in one shape for all formats, within the limits but not verified.
type evidence struct {
	bundle *protobundle.Bundle // sigstore-go's view of it
	pep740 bool
	// promiseOnly: bundle v0.1 may carry the log's promise instead of an inclusion proof.
	promiseOnly bool

	certificate []byte // the leaf's DER; nil for managed keys
	keyed       bool
	keyHint     string

	message  *protocommon.MessageSignature // either this
	envelope *protodsse.Envelope           // or this

	entries    []*protorekor.TransparencyLogEntry
	timestamps [][]byte
}

// bundleVersions are the media types of the known bundle versions (protobuf-specs, sigstore_bundle.proto).
var bundleVersions = map[string]string{
	"application/vnd.dev.sigstore.bundle+json;version=0.1": "v0.1",
	"application/vnd.dev.sigstore.bundle+json;version=0.2": "v0.2",
	"application/vnd.dev.sigstore.bundle+json;version=0.3": "v0.3",
	"application/vnd.dev.sigstore.bundle.v0.3+json":        "v0.3",
}

// laterBundle matches the media types that further versions will have.
var laterBundle = regexp.MustCompile(`^application/vnd\.dev\.sigstore\.bundle\.v[0-9]+\.[0-9]+(\.[0-9]+)?\+json$`)

func (r *run) parseBundle(raw []byte) *evidence {
	if err := strictjson.Check(raw, maxBundleBytes); err != nil {
		r.fail(CheckParse, "the bundle %v", err)
		return nil
	}
	pb := new(protobundle.Bundle)
	if err := protojson.Unmarshal(raw, pb); err != nil {
		pb = new(protobundle.Bundle)
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, pb) != nil {
			r.fail(CheckParse, "the bundle is not valid: %v", err)
			return nil
		}
		// Well-formed but for members that its format did not have when this was written. What they mean is unknown.
		r.unsupported(CheckParse, "the bundle has members that are not known here: %v", err)
	} else {
		r.pass(CheckParse, "")
	}
	version, ok := bundleVersions[pb.GetMediaType()]
	switch {
	case ok:
		r.pass(CheckMediaType, "%s", pb.GetMediaType())
		r.res.Format = "bundle " + version
	case laterBundle.MatchString(pb.GetMediaType()):
		r.unsupported(CheckMediaType, "%s is later than what is known here", pb.GetMediaType())
		return nil
	default:
		r.fail(CheckMediaType, "%q is not the media type of a Sigstore bundle", pb.GetMediaType())
		return nil
	}
	return r.bundleEvidence(pb, version)
}

// bundleEvidence takes a bundle apart and checks that all parts are there and within the limits.
func (r *run) bundleEvidence(pb *protobundle.Bundle, version string) *evidence {
	vm := pb.GetVerificationMaterial()
	ev := &evidence{bundle: pb, promiseOnly: version == "v0.1", entries: vm.GetTlogEntries()}

	switch {
	case vm.GetPublicKey() != nil:
		ev.keyed, ev.keyHint = true, vm.GetPublicKey().GetHint()
	case vm.GetCertificate() != nil:
		ev.certificate = vm.GetCertificate().GetRawBytes()
	case vm.GetX509CertificateChain() != nil:
		if version == "v0.3" {
			r.unsupported(CheckCertificate, "a certificate chain in a v0.3 bundle belongs to a private PKI, of which nothing is known here")
			return nil
		}
		// Intermediates in a bundle are ignored: the trusted root has all that may count.
		if certs := vm.GetX509CertificateChain().GetCertificates(); len(certs) > 0 {
			ev.certificate = certs[0].GetRawBytes()
		}
	default:
		r.fail(CheckParse, "the bundle has neither a certificate nor a key")
		return nil
	}
	if !ev.keyed && len(ev.certificate) == 0 {
		r.fail(CheckCertificate, "the bundle's certificate is missing or empty")
		return nil
	}

	ev.message, ev.envelope = pb.GetMessageSignature(), pb.GetDsseEnvelope()
	if ev.message == nil && ev.envelope == nil {
		r.fail(CheckParse, "the bundle has neither a message signature nor a DSSE envelope")
		return nil
	}
	for _, t := range vm.GetTimestampVerificationData().GetRfc3161Timestamps() {
		ev.timestamps = append(ev.timestamps, t.GetSignedTimestamp())
	}
	if !r.withinLimits(ev) {
		return nil
	}
	return ev
}

// withinLimits refuses what is too much of anything, naming it.
func (r *run) withinLimits(ev *evidence) bool {
	type limit struct {
		what     string
		got, max int
	}
	limits := []limit{
		{"log entries", len(ev.entries), maxEntries},
		{"timestamps", len(ev.timestamps), maxTimestamps},
		{"certificate bytes", len(ev.certificate), maxCertBytes},
		{"signature bytes", len(ev.message.GetSignature()), maxSignatureBytes},
		{"statement bytes", len(ev.envelope.GetPayload()), maxStatementBytes},
		{"signatures", len(ev.envelope.GetSignatures()), maxSignatures},
	}
	for _, s := range ev.envelope.GetSignatures() {
		limits = append(limits, limit{"signature bytes", len(s.GetSig()), maxSignatureBytes})
	}
	for _, t := range ev.timestamps {
		limits = append(limits, limit{"bytes of a timestamp", len(t), maxTimestampBytes})
	}
	for _, e := range ev.entries {
		limits = append(limits,
			limit{"bytes of a log entry", len(e.GetCanonicalizedBody()), maxEntryBodyBytes},
			limit{"hashes of an inclusion proof", len(e.GetInclusionProof().GetHashes()), maxProofHashes})
	}
	for _, l := range limits {
		if l.got > l.max {
			r.fail(CheckParse, "%d %s are more than the %d allowed", l.got, l.what, l.max)
			return false
		}
	}
	return true
}
