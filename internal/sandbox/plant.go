package sandbox

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Plant is a signature or a certificate in somebody's name, to be hidden in a log among those of strangers.
type Plant struct {
	// At is the index that it shall have.
	At      uint64
	Claims  Claims
	Options CertificateOptions
	// DSSE logs it in Rekor v2 as clients did until June 2026.
	DSSE bool
}

// Planted is what somebody who watches the name must find.
type Planted struct {
	Origin string
	Index  uint64
	Claims Claims
	// Certificate is the final certificate, DER. Leaf is what the tree commits to.
	Certificate, Leaf []byte
}

// Places are the indices, of a log that grows to a size, at which followers go wrong: the first, the middle, the ends of
// a tile, the middle of the partial tile and the last.
func Places(size uint64) []uint64 {
	if size == 0 {
		return nil
	}
	last := size - 1
	full := size / tileWidth * tileWidth // where the partial tile begins
	places := []uint64{0, size / 2, full + (last-min(full, last))/2, last}
	if full > 0 {
		places = append(places, full-1)
	}
	if full < size {
		places = append(places, full)
	}
	slices.Sort(places)
	return slices.Compact(slices.DeleteFunc(places, func(i uint64) bool { return i > last }))
}

// PlantRekor2 grows a shard of Rekor v2 to the given size: the plants at their places, strangers' entries around them.
// The plants' certificates are in the CT logs too, at their ends.
func (w *World) PlantRekor2(r *Rekor2, size uint64, plants ...Plant) ([]Planted, error) {
	planted, err := grow(r.Ledger, size, r.AddBulk, plants, func(p Plant) (*Signer, error) {
		signer, err := w.Fulcio.NewSigner(p.Claims, p.Options)
		if err != nil {
			return nil, err
		}
		statement := fmt.Appendf(nil, `{"planted":%d}`, p.At)
		digest := sha256.Sum256(statement)
		if p.DSSE {
			digest = sha256.Sum256(pae(statement))
		}
		signature, err := signer.key.Sign(nil, digest[:], sha256Opts)
		if err != nil {
			return nil, fmt.Errorf("signing a plant: %w", err)
		}
		body, err := tiledHashedRekordBody(digest, byCertificate(signature, signer.Certificate.Raw))
		if p.DSSE {
			body, err = tiledDSSEBody(statement, byCertificate(signature, signer.Certificate.Raw))
		}
		if err != nil {
			return nil, err
		}
		_, err = r.Add(body)
		return signer, err
	})
	if err != nil {
		return nil, fmt.Errorf("planting in %s: %w", r.origin, err)
	}
	return planted, nil
}

// PlantCT grows one CT log to the given size: the plants' precertificates at their places, strangers' around them.
func (w *World) PlantCT(l *CTLog, size uint64, plants ...Plant) ([]Planted, error) {
	planted, err := grow(l.Ledger, size, l.AddBulk, plants, func(p Plant) (*Signer, error) {
		issuer := w.Fulcio
		if p.Options.Rogue {
			issuer = issuer.rogue
		}
		p.Options.Unlogged = true
		signer, err := issuer.NewSigner(p.Claims, p.Options)
		if err != nil {
			return nil, err
		}
		s, err := newSubmission(signer.Precertificate, signer.Certificate.NotBefore, issuer.intermediate, issuer.root)
		if err != nil {
			return nil, err
		}
		_, err = l.submit(s)
		return signer, err
	})
	if err != nil {
		return nil, fmt.Errorf("planting in %s: %w", l.origin, err)
	}
	return planted, nil
}

// grow adds plants in the order of their places, and fills the log up around them.
func grow(l *Ledger, size uint64, fill func(uint64) error, plants []Plant, plant func(Plant) (*Signer, error)) ([]Planted, error) {
	plants = slices.SortedFunc(slices.Values(plants), func(x, y Plant) int { return cmp.Compare(x.At, y.At) })
	upTo := func(index uint64) error {
		have := l.Size()
		switch {
		case index < have:
			return fmt.Errorf("there is an entry at %d already", index)
		case index > have:
			return fill(index - have)
		}
		return nil
	}
	var planted []Planted
	for _, p := range plants {
		if p.At >= size {
			return nil, fmt.Errorf("entry %d is beyond the size %d", p.At, size)
		}
		if err := upTo(p.At); err != nil {
			return nil, err
		}
		signer, err := plant(p)
		if err != nil {
			return nil, err
		}
		leaf, err := l.Leaf(p.At)
		if err != nil {
			return nil, err
		}
		planted = append(planted, Planted{l.origin, p.At, p.Claims, signer.Certificate.Raw, leaf})
	}
	return planted, upTo(size)
}
