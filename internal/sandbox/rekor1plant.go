package sandbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// The kinds of entries that can be planted in Rekor v1.
const (
	HashedRekord = "hashedrekord" // 0.0.1: the signature of an artifact
	DSSE         = "dsse"         // 0.0.1: an attestation, as PyPI's and GitHub's clients log it
	Intoto       = "intoto"       // 0.0.2: an attestation that the log keeps beside the entry
)

// RekorPlant is a signature in somebody's name, to be hidden in the active shard of Rekor v1 among those of strangers. Its
// DSSE member has no meaning here.
type RekorPlant struct {
	// Plant has the place in the shard, and who signs. Where Options has no time, the certificate is half a minute older than
	// the entry.
	Plant
	// Kind is HashedRekord, DSSE or Intoto; DSSE where it is empty.
	Kind string
	// Subject is what is signed; by default something that nobody has.
	Subject Subject
}

// RekorPlanted is what somebody who watches the name must find in Rekor v1.
type RekorPlanted struct {
	// Planted has the index in the shard, and its origin.
	Planted
	UUID string
	// Attestation is what a bundle would be made of. Its entry is proven in the tree that it completes.
	Attestation *Attestation
}

// PlantRekor grows the active shard of Rekor v1 to a size: the plants at their places, strangers' entries around them. Its new
// entries are integrated from the one time to the other, evenly. The index knows the plants, and the CT logs have their
// certificates, at their ends.
func (w *World) PlantRekor(size uint64, from, to time.Time, plants ...RekorPlant) ([]RekorPlanted, error) {
	r := w.Rekor
	s := r.Active()
	first := s.Size()
	if size < first {
		return nil, fmt.Errorf("planting in %s: it has %d entries already, and %d are wanted", s.origin, first, size)
	}
	when := func(index uint64) time.Time { return between(from, to, index-first, size-first) }
	fill := func(n uint64) error {
		have := s.Size()
		return r.addBulk(n, func(number uint64) time.Time { return when(have + number) })
	}
	var places []Plant
	byPlace := map[uint64]RekorPlant{}
	for _, p := range plants {
		if p.Options.At.IsZero() && p.At >= first {
			p.Options.At = when(p.At).Add(-30 * time.Second)
		}
		places = append(places, p.Plant)
		byPlace[p.At] = p
	}
	attestations := map[uint64]*Attestation{}
	planted, err := grow(s.Ledger, size, fill, places, func(p Plant) (*Signer, error) {
		signer, err := w.Fulcio.NewSigner(p.Claims, p.Options)
		if err != nil {
			return nil, err
		}
		attestations[p.At], err = r.sign(signer, byPlace[p.At], when(p.At))
		return signer, err
	})
	if err != nil {
		return nil, fmt.Errorf("planting in %s: %w", s.origin, err)
	}
	out := make([]RekorPlanted, 0, len(planted))
	for _, p := range planted {
		out = append(out, RekorPlanted{p, s.uuid(p.Leaf), attestations[p.Index]})
	}
	return out, nil
}

// sign makes and logs the signature of a plant.
func (r *Rekor) sign(s *Signer, p RekorPlant, at time.Time) (*Attestation, error) {
	if p.Subject == (Subject{}) {
		name := fmt.Sprintf("planted-%d.tar.gz", p.At)
		p.Subject = Subject{Name: name, SHA256: hexSHA256([]byte(name))}
	}
	a := &Attestation{Signer: s, Certificate: s.Certificate.Raw}
	body, err := p.body(a)
	if err != nil {
		return nil, err
	}
	e, err := r.AddStatement(body, a.Statement, at)
	a.Entries = []Entry{e}
	return a, err
}

// body signs the subject, and makes the entry's body of it.
func (p RekorPlant) body(a *Attestation) (body []byte, err error) {
	kind := cmp.Or(p.Kind, DSSE)
	switch kind {
	case HashedRekord:
		artifact, err := parseSHA256(p.Subject.SHA256)
		if err != nil {
			return nil, err
		}
		a.Artifact = artifact[:]
		if a.Signature, err = a.Signer.key.Sign(nil, artifact[:], sha256Opts); err != nil {
			return nil, fmt.Errorf("signing an artifact: %w", err)
		}
		return a.body()
	case DSSE, Intoto:
		if a.Statement, err = PublishStatement(p.Subject).JSON(); err != nil {
			return nil, err
		}
		if a.Signature, err = signSHA256(a.Signer.key, pae(a.Statement)); err != nil {
			return nil, fmt.Errorf("signing a statement: %w", err)
		}
		if kind == DSSE {
			return a.body()
		}
		envelope, err := json.Marshal(a.envelope())
		if err != nil {
			return nil, fmt.Errorf("encoding an envelope: %w", err)
		}
		return intotoBody(envelope, a.Statement, a.Signature, certificatePEM(a.Certificate))
	}
	return nil, fmt.Errorf("nobody can plant an entry of the kind %q", kind)
}

// parseSHA256 reads a digest in hex.
func parseSHA256(text string) ([sha256.Size]byte, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != sha256.Size {
		return [sha256.Size]byte{}, fmt.Errorf("%q is not the SHA-256 of an artifact", text)
	}
	return [sha256.Size]byte(raw), nil
}
