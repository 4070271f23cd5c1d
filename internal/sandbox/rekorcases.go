package sandbox

import "time"

// rekorCases are about Rekor v1, which is read by name: what bundles say of it is held against what it shows.
func rekorCases() []Case {
	const unlogged, split = "unlogged-attestation", "split-view"
	active := rekorOrigin(rekorHost, rekorTreeID)

	// shipping publishes a file whose attestation is changed, in a world of its own.
	shipping := func(name, about, rule string, tamper func(*World, *Attestation) error) Case {
		c := shipped(name, about, rule, shipment{tamper: tamper})
		c.Log, c.Alone, c.Passes = active, true, 2
		return c
	}
	// telling has the log tell a lie about the entry of a file.
	telling := func(lie Lie, name, about, rule string) Case {
		return shipping(name, about, rule, func(w *World, a *Attestation) error {
			if err := w.Rekor.AddNoise(3, a.at()); err != nil {
				return err
			}
			_, err := w.Rekor.Active().Tell(lie, uint64(a.Entries[0].TreeIndex))
			return err
		})
	}
	withheld := telling(WithheldEntry, "withheld-entry", "The log says of an entry, which a published bundle carries with its proof, that it has none such.", unlogged)
	withheld.Passes, withheld.Confirm = 3, nothing // an entry that a second answer lacks too
	two := shipping("split-view", "The log shows PyPI's clients another tree than everybody else: their bundles verify.", split, func(w *World, a *Attestation) error {
		branch, err := w.Rekor.Branch(uint64(a.Entries[0].TreeIndex))
		if err != nil {
			return err
		}
		if err := w.Rekor.AddNoise(7, a.at()); err != nil {
			return err
		}
		for range 5 { // both trees go on
			entry, err := branch.Log(a, a.at())
			if err != nil {
				return err
			}
			a.Entries = []Entry{entry}
		}
		return nil
	})
	two.Also = []string{unlogged}
	fork := Case{
		Name: "rekor-forked", About: "Rekor v1 rewrites an entry of its past, and all that follows from it fits together.", Project: onnxProject, Log: active,
		Rule: "log-fork", Passes: 2, Alone: true,
		Apply: func(w *World) error {
			_, err := w.Rekor.Active().Tell(ForkedTree, 3)
			return err
		},
	}
	return append(shownBy(Entries, []Case{
		telling(AlteredTime, "altered-entry", "The log gives an entry, which a published bundle carries with its proof, another time.", unlogged),
		withheld,
		shipping("later-proof", "A bundle is made again, with a proof in a later and larger tree.", "", func(w *World, a *Attestation) error {
			if err := w.Rekor.AddNoise(9, a.at()); err != nil {
				return err
			}
			entry, _, err := w.Rekor.Get(a.Entries[0].LogIndex)
			a.Entries = []Entry{entry}
			return err
		}).tempts(split),
		shipping("replicas", "The servers of Rekor v1 are some entries apart.", "", func(w *World, _ *Attestation) error {
			w.Rekor.SetReplicas(0, 2)
			return nil
		}).tempts(unlogged),
		shipping("new-shard", "Rekor v1 goes on in a new shard.", "", func(w *World, _ *Attestation) error {
			_, err := w.Rekor.Rotate(0)
			return err
		}).tempts("frozen-log-grew"),
	}), shownBy(Logs, []Case{two, fork})...)
}

// sourceCases are about what cannot be read.
func sourceCases() []Case {
	const unreachable, gap = "source-unreachable", "coverage-gap"
	const beyondPatience = 7 * time.Hour // of those rules

	refusing := Fault{Status: 503, ContentType: "text/plain", Body: []byte("unavailable")}
	outage := func(name, about string, c Case, of func(*World) []*Service) Case {
		c.Name, c.About, c.Project, c.Rule, c.Passes, c.Alone = name, about, onnxProject, unreachable, 2, true
		c.Apply = func(w *World) error {
			for _, s := range of(w) {
				s.Break(refusing)
			}
			return nil
		}
		return c.after(beyondPatience)
	}
	short := func() Case {
		var mend []func()
		return Case{
			Name: "short-outage", About: "Every service fails for twenty minutes.", Project: onnxProject, Tempts: unreachable, Passes: 3, Alone: true,
			Apply: func(w *World) error {
				for _, s := range []*Service{w.PyPI.Service, w.Rekor.Service, w.Rekor2.Service, w.CT.Service, w.StaticCT.Service} {
					mend = append(mend, s.Break(refusing))
				}
				return nil
			},
			Confirm: func(*World) error {
				for _, m := range mend {
					m()
				}
				return nil
			},
		}
	}
	index := outage("index-outage", "The index does not answer for the project for hours.", Case{}, nil)
	index.Apply = func(w *World) error {
		w.PyPI.Break(Fault{Path: "/simple/" + onnxProject + "/", Status: 503})
		return nil
	}
	unknown := shipped("unknown-publisher", "The index names a publisher of a kind that this version does not know.", gap,
		shipment{publisher: &Publisher{Kind: "Buildkite", Repository: onnxRepository, Workflow: onnxWorkflow, Environment: "pypi-release"}}).after(beyondPatience)
	refused := shipped("provenance-refused", "The index's administrators switch a file's provenance off for a day.", gap, shipment{}).after(beyondPatience)
	forbidden := func(c Case) func(*World) func() {
		return func(w *World) func() {
			return w.PyPI.Break(Fault{Path: provenancePath(c.Project, c.Version, c.File), Status: 403, ContentType: "application/json",
				Body: []byte(`{"message":"Attestations temporarily disabled"}`)})
		}
	}
	refusedShip := refused.Apply
	refused.Apply = func(w *World) error {
		forbidden(refused)(w)
		return refusedShip(w)
	}
	back := shipped("provenance-refused-briefly", "The index's administrators switch a file's provenance off for twenty minutes.", "", shipment{}).tempts(gap)
	backShip := back.Apply
	var mend func()
	back.Passes, back.Alone = 3, true
	back.Apply = func(w *World) error {
		mend = forbidden(back)(w)
		return backShip(w)
	}
	back.Confirm = func(*World) error { mend(); return nil }

	return shownBy(Sources, []Case{
		outage("rekor-v2-outage", "A shard of Rekor v2 fails for hours.", Case{Log: rekor2Host}, func(w *World) []*Service { return []*Service{w.Rekor2.Service} }),
		outage("rekor-v1-outage", "Rekor v1 fails for hours.", Case{Log: rekorHost}, func(w *World) []*Service { return []*Service{w.Rekor.Service} }),
		outage("ct-outage", "A CT log fails for hours.", Case{Log: ctHost}, func(w *World) []*Service { return []*Service{w.CT.Service} }),
		index,
		short(), unknown, refused, back,
	})
}
