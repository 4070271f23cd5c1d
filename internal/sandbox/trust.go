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

func newTrustedLog(url string, spki, id []byte) trustedLog {
	l := trustedLog{BaseURL: url, HashAlgorithm: "SHA2_256", PublicKey: trustedKey{
		RawBytes: spki, KeyDetails: "PKIX_ECDSA_P256_SHA_256", ValidFor: validity{epoch},
	}}
	l.LogID.KeyID = id
	return l
}

func newTrustedAuthority(url string, chain ...*x509.Certificate) trustedAuthority {
	a := trustedAuthority{URI: url, ValidFor: validity{epoch}}
	root := chain[len(chain)-1]
	a.Subject.Organization = root.Subject.Organization[0]
	a.Subject.CommonName = root.Subject.CommonName
	for _, c := range chain {
		a.CertChain.Certificates = append(a.CertChain.Certificates, rawBytes{c.Raw})
	}
	return a
}

// makeTrustedRoot renders whom the world's clients trust.
func (w *World) makeTrustedRoot() ([]byte, error) {
	ctKey, err := x509.MarshalPKIXPublicKey(&w.ct.key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encoding the CT log's key: %w", err)
	}
	document, err := json.Marshal(trustedRoot{
		MediaType:              trustedRootMediaType,
		Tlogs:                  []trustedLog{newTrustedLog("https://"+rekorHost, w.Rekor.spki, w.Rekor.logID[:])},
		CertificateAuthorities: []trustedAuthority{newTrustedAuthority("https://fulcio.sandbox.example", w.Fulcio.intermediate, w.Fulcio.root)},
		Ctlogs:                 []trustedLog{newTrustedLog("https://ctfe.sandbox.example", ctKey, w.ct.id[:])},
		TimestampAuthorities:   []trustedAuthority{newTrustedAuthority("https://tsa.sandbox.example", w.TSA.chain...)},
	}, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encoding the trusted root: %w", err)
	}
	return append(document, '\n'), nil
}
