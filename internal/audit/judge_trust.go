package audit

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/rekoncile/rekoncile/internal/trust"
)

const (
	// metadataEnds is how long before its end TUF metadata should have been renewed: Sigstore renews what lives for a week each
	// day.
	metadataEnds = 3 * 24 * time.Hour
	// materialEnds is how long before the last authority or log of a kind ends the trusted root should name the next.
	materialEnds = 30 * 24 * time.Hour
)

// TrustRoot judges a trusted root that is in use: whether the metadata that vouches for it is about to expire, and whether it
// names, of each kind of authority and log that it has, one that goes on.
func (j *Judge) TrustRoot(r TrustedRoot) Assessment {
	var a Assessment
	s := Subject{TrustedRoot: r.Source}
	ending := func(what string, at time.Time, notice time.Duration) {
		since := at.Add(-notice)
		if at.IsZero() || j.Now.Before(since) {
			return
		}
		a.wrong(j, TrustRootExpiring, s, since, Finding{
			Summary:  "the trusted root from " + oneLine(r.Source, 200) + " is near its end",
			Expected: "a trusted root that is renewed in time",
			Evidence: []Evidence{{Kind: "trusted-root", URL: r.Source, At: at, SHA256: r.SHA256, Detail: what + ": " + at.UTC().Format(time.RFC3339)}},
		})
	}
	ending("the metadata that vouches for it expires", r.ExpiresAt, metadataEnds)
	parsed, err := trust.FromJSON(r.Source, r.Body)
	if err != nil {
		a.unknown(s, "the trusted root of the record cannot be read: "+oneLine(err.Error(), 300), TrustRootExpiring)
		return a
	}
	for _, kind := range trustEnds(parsed.Material) {
		ending(fmt.Sprintf("the last of its %s ends", kind.name), kind.end(), materialEnds)
	}
	return a
}

// validities are when what a trusted root has of one kind ends.
type validities struct {
	name string
	ends []time.Time // zero for what has no end
}

// end is when the last of them ends; zero where one has no end, or where there is none.
func (v validities) end() time.Time {
	var last time.Time
	for _, at := range v.ends {
		if at.IsZero() {
			return at
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// trustEnds are the kinds of what a trusted root names, and when each of them ends. A certificate ends an authority that has no
// other end.
func trustEnds(material root.TrustedMaterial) []validities {
	authorities := validities{name: "certificate authorities"}
	for _, ca := range material.FulcioCertificateAuthorities() {
		if f, ok := ca.(*root.FulcioCertificateAuthority); ok {
			authorities.ends = append(authorities.ends, firstEnd(f.ValidityPeriodEnd, slices.Concat(f.Intermediates, []*x509.Certificate{f.Root})))
		}
	}
	timestamps := validities{name: "timestamp authorities"}
	for _, tsa := range material.TimestampingAuthorities() {
		if t, ok := tsa.(*root.SigstoreTimestampingAuthority); ok {
			timestamps.ends = append(timestamps.ends, firstEnd(t.ValidityPeriodEnd, slices.Concat(t.Intermediates, []*x509.Certificate{t.Root, t.Leaf})))
		}
	}
	logs := func(name string, all map[string]*root.TransparencyLog) validities {
		v := validities{name: name}
		for _, l := range all {
			v.ends = append(v.ends, l.ValidityPeriodEnd)
		}
		return v
	}
	return []validities{authorities, timestamps, logs("logs of entries", material.RekorLogs()), logs("CT logs", material.CTLogs())}
}

// firstEnd is the first of an end and those of certificates.
func firstEnd(end time.Time, certificates []*x509.Certificate) time.Time {
	for _, c := range certificates {
		if c != nil && (end.IsZero() || c.NotAfter.Before(end)) {
			end = c.NotAfter
		}
	}
	return end
}
