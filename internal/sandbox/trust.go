package sandbox

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The trusted root in the JSON form of Sigstore's protobuf specification (sigstore_trustroot.proto, TrustedRoot),
// as far as the sandbox uses it. protojson is not used: its output is unstable on purpose.

const trustedRootMediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

type trustedRoot struct {
	MediaType              string             `json:"mediaType"`
	Tlogs                  []trustedLog       `json:"tlogs"`
	CertificateAuthorities []trustedAuthority `json:"certificateAuthorities"`
	Ctlogs                 []trustedLog       `json:"ctlogs"`
	TimestampAuthorities   []trustedAuthority `json:"timestampAuthorities"`
}

type validity struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
}

type trustedLog struct {
	BaseURL       string     `json:"baseUrl"`
	HashAlgorithm string     `json:"hashAlgorithm"`
	PublicKey     trustedKey `json:"publicKey"`
	LogID         struct {
		KeyID []byte `json:"keyId"`
	} `json:"logId"`
}

type trustedKey struct {
	RawBytes   []byte   `json:"rawBytes"` // SPKI, DER
	KeyDetails string   `json:"keyDetails"`
	ValidFor   validity `json:"validFor"`
}

type trustedAuthority struct {
	Subject struct {
		Organization string `json:"organization"`
		CommonName   string `json:"commonName"`
	} `json:"subject"`
	URI       string `json:"uri"`
	CertChain struct {
		Certificates []rawBytes `json:"certificates"` // from the issuer up to the root
	} `json:"certChain"`
	ValidFor validity `json:"validFor"`
}

type rawBytes struct {
	RawBytes []byte `json:"rawBytes"`
}

// ecdsaDetails is the kind of most keys (sigstore_common.proto, PublicKeyDetails).
const ecdsaDetails = "PKIX_ECDSA_P256_SHA_256"

// newTrustedLog is a log as the trusted root has it. The zero end is that of an open one.
func newTrustedLog(url, details string, spki, id []byte, end time.Time) trustedLog {
	l := trustedLog{BaseURL: url, HashAlgorithm: "SHA2_256", PublicKey: trustedKey{
		RawBytes: spki, KeyDetails: details, ValidFor: validity{Start: epoch, End: end.UTC()},
	}}
	l.LogID.KeyID = id
	return l
}

func newTrustedAuthority(url string, chain ...*x509.Certificate) trustedAuthority {
	a := trustedAuthority{URI: url, ValidFor: validity{Start: epoch}}
	root := chain[len(chain)-1]
	a.Subject.Organization = root.Subject.Organization[0]
	a.Subject.CommonName = root.Subject.CommonName
	for _, c := range chain {
		a.CertChain.Certificates = append(a.CertChain.Certificates, rawBytes{c.Raw})
	}
	return a
}

// makeTrustedRootLocked renders whom the world's clients trust.
func (w *World) makeTrustedRootLocked() ([]byte, error) {
	tlogs := []trustedLog{newTrustedLog(rekorURL, ecdsaDetails, w.Rekor.spki, w.Rekor.logID[:], time.Time{})}
	for _, s := range w.shards {
		if s.trusted {
			tlogs = append(tlogs, newTrustedLog(s.baseURL(), s.key.details, s.key.spki, s.key.id[:], s.frozen()))
		}
	}
	ctlogs := []trustedLog{newTrustedLog(w.CT.baseURL(), ecdsaDetails, w.CT.spki, w.CT.id[:], w.CT.frozen())}
	if w.trustAll {
		ctlogs = append(ctlogs, newTrustedLog(w.StaticCT.baseURL(), ecdsaDetails, w.StaticCT.spki, w.StaticCT.id[:], w.StaticCT.frozen()))
	}
	document, err := json.Marshal(trustedRoot{
		MediaType:              trustedRootMediaType,
		Tlogs:                  tlogs,
		CertificateAuthorities: []trustedAuthority{newTrustedAuthority("https://fulcio.sandbox.example", w.Fulcio.intermediate, w.Fulcio.root)},
		Ctlogs:                 ctlogs,
		TimestampAuthorities:   []trustedAuthority{newTrustedAuthority("https://tsa.sandbox.example", w.TSA.chain...)},
	}, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encoding the trusted root: %w", err)
	}
	return append(document, '\n'), nil
}

// republishLocked makes the trusted root anew, and has the update repository publish it.
func (w *World) republishLocked() error {
	trusted, err := w.makeTrustedRootLocked()
	if err != nil {
		return err
	}
	w.trusted = trusted
	return w.TUF.SetTarget(trusted)
}
