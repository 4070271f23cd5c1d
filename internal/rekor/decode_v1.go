package rekor

import (
	"encoding/pem"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

// The specs of Rekor v1's kinds, after canonicalisation (rekor, pkg/types/*/*_schema.json). Members without a use are
// there to tell them from unknown ones.

type v1Hash struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"` // hex
}

// appendTo adds the hash to one of an entry's lists. Absent ones were optional in early entries.
func (h *v1Hash) appendTo(list *[]Hash) error {
	if h == nil {
		return nil
	}
	hash, err := hexHash(h.Algorithm, h.Value)
	if err != nil {
		return err
	}
	*list = append(*list, hash)
	return nil
}

var errNoHash = errors.New("it has no hash of what was signed")

type v1Content struct {
	Content octets `json:"content"`
}

// signatureV1 is a detached signature with its key beside it.
type signatureV1 struct {
	Content   octets    `json:"content"`
	Format    string    `json:"format"` // rekord only
	PublicKey v1Content `json:"publicKey"`
}

type hashedRekordV1 struct {
	Data struct {
		Hash *v1Hash `json:"hash"`
	} `json:"data"`
	Signature signatureV1 `json:"signature"`
}

func (s *hashedRekordV1) fill(e *Entry) error {
	if s.Data.Hash == nil {
		return errNoHash
	}
	return errors.Join(s.Data.Hash.appendTo(&e.ArtifactHashes), e.addSigner(s.Signature.PublicKey.Content))
}

// rekordV1 has the shape of a hashedrekord; its keys may be of other kinds than X.509.
type rekordV1 = hashedRekordV1

type dsseV1 struct {
	EnvelopeHash *v1Hash `json:"envelopeHash"`
	PayloadHash  *v1Hash `json:"payloadHash"`
	Signatures   []struct {
		Signature octets `json:"signature"`
		Verifier  octets `json:"verifier"`
	} `json:"signatures"`
}

func (s *dsseV1) fill(e *Entry) error {
	if s.PayloadHash == nil {
		return errNoHash
	}
	err := errors.Join(s.EnvelopeHash.appendTo(&e.EnvelopeHashes), s.PayloadHash.appendTo(&e.PayloadHashes), countSigners(len(s.Signatures)))
	for i := 0; err == nil && i < len(s.Signatures); i++ {
		err = e.addSigner(s.Signatures[i].Verifier)
	}
	return err
}

type intotoV1 struct {
	Content struct {
		Hash        *v1Hash `json:"hash"`
		PayloadHash *v1Hash `json:"payloadHash"` // since 2022
	} `json:"content"`
	PublicKey octets `json:"publicKey"`
}

func (s *intotoV1) fill(e *Entry) error {
	if s.Content.Hash == nil && s.Content.PayloadHash == nil {
		return errNoHash
	}
	return errors.Join(s.Content.Hash.appendTo(&e.EnvelopeHashes), s.Content.PayloadHash.appendTo(&e.PayloadHashes), e.addSigner(s.PublicKey))
}

type intotoV2 struct {
	Content struct {
		Envelope struct {
			Payload     jsontext.Value `json:"payload"` // not canonical, and yet some entries have it
			PayloadType string         `json:"payloadType"`
			Signatures  []struct {
				KeyID     string `json:"keyid"`
				PublicKey octets `json:"publicKey"`
				Sig       octets `json:"sig"` // the base64 of base64
			} `json:"signatures"`
		} `json:"envelope"`
		Hash        *v1Hash `json:"hash"`
		PayloadHash *v1Hash `json:"payloadHash"`
	} `json:"content"`
}

func (s *intotoV2) fill(e *Entry) error {
	sigs := s.Content.Envelope.Signatures
	if s.Content.Hash == nil && s.Content.PayloadHash == nil {
		return errNoHash
	}
	err := errors.Join(s.Content.Hash.appendTo(&e.EnvelopeHashes), s.Content.PayloadHash.appendTo(&e.PayloadHashes), countSigners(len(sigs)))
	for i := 0; err == nil && i < len(sigs); i++ {
		err = e.addSigner(sigs[i].PublicKey)
	}
	return err
}

type coseV1 struct {
	Data struct {
		EnvelopeHash *v1Hash `json:"envelopeHash"`
		PayloadHash  *v1Hash `json:"payloadHash"`
	} `json:"data"`
	PublicKey octets `json:"publicKey"`
}

func (s *coseV1) fill(e *Entry) error {
	if s.Data.PayloadHash == nil {
		return errNoHash
	}
	return errors.Join(s.Data.EnvelopeHash.appendTo(&e.EnvelopeHashes), s.Data.PayloadHash.appendTo(&e.PayloadHashes), e.addSigner(s.PublicKey))
}

// packageV1 is the spec of both alpine and rpm.
type packageV1 struct {
	Package struct {
		Hash    *v1Hash        `json:"hash"`
		Headers jsontext.Value `json:"headers"` // rpm
		PkgInfo jsontext.Value `json:"pkginfo"` // alpine
	} `json:"package"`
	PublicKey v1Content `json:"publicKey"`
}

func (s *packageV1) fill(e *Entry) error {
	if s.Package.Hash == nil {
		return errNoHash
	}
	return errors.Join(s.Package.Hash.appendTo(&e.ArtifactHashes), e.addSigner(s.PublicKey.Content))
}

type helmV1 struct {
	Chart struct {
		Hash       *v1Hash `json:"hash"`
		Provenance struct {
			Signature v1Content `json:"signature"`
		} `json:"provenance"`
	} `json:"chart"`
	PublicKey v1Content `json:"publicKey"`
}

func (s *helmV1) fill(e *Entry) error {
	if s.Chart.Hash == nil {
		return errNoHash
	}
	return errors.Join(s.Chart.Hash.appendTo(&e.ArtifactHashes), e.addSigner(s.PublicKey.Content))
}

type jarV1 struct {
	Archive struct {
		Hash *v1Hash `json:"hash"`
	} `json:"archive"`
	Signature signatureV1 `json:"signature"`
}

func (s *jarV1) fill(e *Entry) error {
	if s.Archive.Hash == nil {
		return errNoHash
	}
	return errors.Join(s.Archive.Hash.appendTo(&e.ArtifactHashes), e.addSigner(s.Signature.PublicKey.Content))
}

// rfc3161V1 logs a timestamp response. It has no signer of its own: the timestamp authority's name is inside.
type rfc3161V1 struct {
	TSR v1Content `json:"tsr"`
}

func (s *rfc3161V1) fill(e *Entry) error {
	if len(s.TSR.Content) == 0 {
		return errors.New("it has no timestamp response")
	}
	e.ArtifactHashes = append(e.ArtifactHashes, sha256Of(s.TSR.Content))
	return nil
}

// tufV1 logs a piece of TUF metadata, with the root that its signatures verify with. Both are base64 of JSON, or JSON.
type tufV1 struct {
	Metadata struct {
		Content jsontext.Value `json:"content"`
	} `json:"metadata"`
	Root struct {
		Content jsontext.Value `json:"content"`
	} `json:"root"`
	SpecVersion string `json:"spec_version"`
}

func (s *tufV1) fill(e *Entry) error {
	metadata, err := document(s.Metadata.Content)
	if err != nil {
		return err
	}
	root, err := document(s.Root.Content)
	if err != nil {
		return err
	}
	e.ArtifactHashes = append(e.ArtifactHashes, sha256Of(metadata))
	var parsed struct {
		Signed struct {
			Keys map[string]struct {
				KeyVal struct {
					Public string `json:"public"`
				} `json:"keyval"`
			} `json:"keys"`
		} `json:"signed"`
	}
	if err := strictjson.Check(root, maxBodyBytes); err != nil {
		return errors.New("its root is not TUF metadata")
	}
	if err := json.Unmarshal(root, &parsed); err != nil {
		return errors.New("its root is not TUF metadata")
	}
	for _, id := range sortedKeys(parsed.Signed.Keys) {
		public := []byte(parsed.Signed.Keys[id].KeyVal.Public)
		if block, _ := pem.Decode(public); block != nil {
			public = block.Bytes
		}
		e.Keys = append(e.Keys, public)
	}
	return nil
}

// document returns a JSON document that stands in a string of base64, or for itself.
func document(v jsontext.Value) ([]byte, error) {
	if v.Kind() == '{' {
		return v, nil
	}
	var raw octets
	if err := json.Unmarshal(v, &raw); err != nil || len(raw) == 0 {
		return nil, errors.New("its TUF metadata is neither JSON nor base64")
	}
	return raw, nil
}

func countSigners(n int) error {
	switch {
	case n == 0:
		return errors.New("it has no signature")
	case n > maxSignatures:
		return errors.New("it has more signatures than allowed")
	}
	return nil
}
