package audit

import "fmt"

// store hangs a file's bundles in GitHub's store on it, and says what the store was not asked for. covered says that what the index
// serves holds: then bundles of the store that do not are no matter of the file's, as a build may give the same bytes again.
func (x *Explainer) store(l *Link, f ExplainedFile, policy chainPolicy, covered bool) error {
	switch s := f.Store; {
	case s == nil:
		l.recorded("github-store", LinkSkipped, "GitHub's attestation store was not asked for it")
		return nil
	case s.Failure != "":
		l.recorded("github-store", LinkUnknown, "GitHub's attestation store does not answer: %s", s.Failure)
	case s.State == "":
		l.recorded("github-store", LinkUnknown, "GitHub's attestation store has not answered yet")
	case s.State == StoreNone:
		l.recorded("github-store", LinkSkipped, "GitHub's attestation store had none of it, %s", stamp(s.CheckedAt))
	default:
		l.recorded("github-store", LinkOK, "served by GitHub's attestation store, %s", stamp(s.CheckedAt))
	}
	var best bestLink
	judged := 0
	for _, b := range f.Store.Bundles {
		link, release, err := x.bundle(f, b, policy)
		switch {
		case err != nil:
			return err
		case release:
			l.hang(link)
		default:
			best.hang(l, link)
			judged++
		}
	}
	switch status := best.status(); {
	case judged == 0:
	case status == LinkFailed && covered:
		l.check("covered-in-store", LinkSkipped, "no bundle holds to the end of its chain; what the index serves does")
	default:
		l.check("covered-in-store", status, "%s", best.says("no bundle holds to the end of its chain"))
	}
	return nil
}

// bundle makes the link of a bundle, which is verified again; release says that it is GitHub's own of a release.
func (x *Explainer) bundle(f ExplainedFile, b ExplainedBundle, policy chainPolicy) (_ Link, release bool, err error) {
	l := Link{Kind: LinkAttestation, Name: "of GitHub's store, sha256:" + b.SHA256}
	body, err := x.Archive.Document(b.SHA256)
	if err != nil {
		return l, false, err
	}
	if body == nil {
		l.check("bundle", LinkUnknown, "it is not at hand")
		return l.conclude(), false, nil
	}
	switch {
	case !b.GoneAt.IsZero():
		l.recorded("still-there", LinkFailed, "since %s the store does not list it any more", stamp(b.GoneAt))
	case b.LastSeen.IsZero():
		l.recorded("listed", LinkOK, "by the store, for another file that its statement names")
	default:
		l.recorded("listed", LinkOK, "by the store, last seen %s", stamp(b.LastSeen))
	}
	for _, at := range x.Archive.Verifier.Bundle(body, f.SHA256).Attestations {
		release = at.Facts.Release
		what := predicateName(at.Facts.PredicateType)
		if release {
			what = "GitHub's own of a release"
			l.check("vouches", LinkSkipped, "GitHub signs what a release holds; that is neither provenance nor the project's signature")
		}
		l.Name = fmt.Sprintf("of GitHub's store, sha256:%s: %s", b.SHA256[:min(len(b.SHA256), 16)], what)
		x.attested(&l, f, at, policy)
	}
	return l.conclude(), release, nil
}
