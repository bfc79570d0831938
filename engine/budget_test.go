package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"dodil.io/ignite/stream"
)

func shareOf(b *budget, org, app string) *share { return b.open(stream.App{Org: org, Name: app}) }

func TestBudgetOffers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		most, first int64
		// own is what the app has, org the other apps of its organization, others a second organization; -1 is no such.
		own, org, others int64
		least, wanted    int64
		want             int64
	}{
		{"all of what is free, alone", 80, 1, 0, -1, -1, 1, 200, 80},
		{"no more than wanted", 80, 1, 0, -1, -1, 1, 3, 3},
		{"up to the kept eighth, alone", 80, 1, 50, -1, -1, 1, 200, 20},
		{"an idle share of others", 80, 1, 30, -1, 10, 1, 200, 30},
		{"of the kept eighth up to an equal share", 80, 1, 20, -1, 52, 1, 200, 6},
		{"nothing of the kept eighth over an equal share", 80, 1, 50, -1, 20, 1, 200, 0},
		{"the first one, although nothing is left", 80, 1, 0, -1, 80, 1, 200, 1},
		{"no second one when nothing is left", 80, 1, 1, -1, 79, 1, 200, 0},
		{"the first one beside a flood of the own organization", 80, 1, 0, 90, -1, 1, 200, 1},
		{"bytes have no first one", 80, 0, 0, -1, 80, 1, 200, 0},
		{"not less than the least", 80, 0, 0, -1, 40, 60, 60, 0},
		{"all of it, alone", 80, 0, 0, -1, 0, 80, 80, 80},
		{"all of it, not alone", 80, 0, 0, -1, 1, 80, 80, 0},
	} {
		b := newBudget(test.most, test.first)
		app := shareOf(b, "acme", "app")
		b.use(app, test.own)
		if test.org >= 0 {
			b.use(shareOf(b, "acme", "other"), test.org)
		}
		if test.others >= 0 {
			b.use(shareOf(b, "globex", "app"), test.others)
		}
		if n := app.try(test.least, test.wanted); n != test.want {
			t.Errorf("%s: got %d, want %d", test.name, n, test.want)
		}
	}
}

// Whatever comes free goes to the organization that has least, and in it to the app that has least.
func TestBudgetServesWhoHasLeast(t *testing.T) {
	t.Parallel()
	b := newBudget(16, 0)
	much, little, quiet := shareOf(b, "flood", "much"), shareOf(b, "flood", "little"), shareOf(b, "quiet", "app")
	b.use(much, 12)
	b.use(little, 2)
	b.use(quiet, 2)
	apps := map[string]*share{"much": much, "little": little, "quiet": quiet}
	claims := make(map[string]*claim)
	for _, name := range []string{"much", "little", "quiet"} {
		claims[name] = apps[name].claim(1, 1)
	}
	var order []string
	for range 11 {
		much.release(1)
		for name, w := range claims {
			if isClosed(w.granted) {
				order = append(order, name)
				claims[name] = apps[name].claim(1, 1)
			}
		}
	}
	want := []string{"quiet", "quiet", "quiet", "quiet", "quiet", "little"}
	if len(order) < len(want) || !slices.Equal(order[:len(want)], want) {
		t.Errorf("served %v, want first %v", order, want)
	}
}

// Those who always want more come to have equal shares, whatever the number of their apps is.
func TestBudgetBecomesEven(t *testing.T) {
	t.Parallel()
	b := newBudget(120, 1)
	random := rand.New(rand.NewPCG(1, 1))
	var players []*player
	for i := range 10 {
		players = append(players, &player{share: shareOf(b, []string{"many", "one"}[i/9], fmt.Sprint(i))})
	}
	for range 5000 {
		for _, p := range players {
			for p.waiting == nil {
				p.waiting = p.claim(1, 1)
				collect(players)
			}
		}
		p := players[random.IntN(len(players))]
		if len(p.holds) > 0 {
			p.release(p.holds[0])
			p.holds = p.holds[1:]
		}
		collect(players)
	}
	many, one := b.orgs["many"].used, b.orgs["one"].used
	if one < many-2 || one > many+2 {
		t.Errorf("nine apps of one organization have %d together, one app of another has %d", many, one)
	}
	for _, p := range players[:9] {
		if p.used < many/9-1 || p.used > many/9+2 {
			t.Errorf("of the %d of an organization one of nine apps has %d", many, p.used)
		}
	}
}

func TestBudgetClaimsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, 0)
		holder, waiter := shareOf(b, "acme", "holder"), shareOf(b, "acme", "waiter")
		b.use(holder, 10)
		gone := errors.New("gone")
		ctx, leave := context.WithCancelCause(t.Context())
		answered := make(chan error)
		go func() {
			_, err := waiter.take(ctx, 1, 1)
			answered <- err
		}()
		synctest.Wait()
		leave(gone)
		if err := <-answered; !errors.Is(err, gone) {
			t.Errorf("who left was answered %v", err)
		}
		holder.release(10)
		if n, err := holder.take(t.Context(), 10, 10); n != 10 || err != nil || b.all.used != 10 {
			t.Errorf("who comes next gets %d, %v, and %d are in use", n, err, b.all.used)
		}
	})
}

func TestBudgetForgetsOrganizationsWithoutApps(t *testing.T) {
	t.Parallel()
	b := newBudget(10, 1)
	one, two := shareOf(b, "acme", "one"), shareOf(b, "acme", "two")
	one.close()
	if len(b.orgs) != 1 {
		t.Error("the organization of an open app is forgotten")
	}
	two.close()
	if len(b.orgs) != 0 {
		t.Errorf("%d organizations are known, and none has an app", len(b.orgs))
	}
}

// player is an app that wants something of a budget again and again.
type player struct {
	*share
	holds   []int64
	waiting *claim
}

func TestBudgetStarvesNobody(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		first := int64(random.IntN(2))
		b := newBudget(1+int64(random.IntN(100)), first)
		players := make([]*player, 1+random.IntN(20))
		for i := range players {
			players[i] = &player{share: shareOf(b, fmt.Sprint("org-", random.IntN(4)), fmt.Sprint(i))}
		}
		for step := range 3000 {
			p := players[random.IntN(len(players))]
			switch {
			case p.waiting != nil && random.IntN(20) == 0:
				p.withdraw(p.waiting)
				p.waiting = nil
			case p.waiting == nil && random.IntN(2) == 0:
				least := int64(1)
				if first == 0 { // who is promised one wants no more than that at least
					least += int64(random.IntN([]int{3, 120}[random.IntN(10)/9]))
				}
				p.waiting = p.claim(least, least+int64(random.IntN(10)))
			case len(p.holds) > 0:
				p.release(p.holds[0])
				p.holds = p.holds[1:]
			}
			collect(players)
			checkBudget(t, b, players, fmt.Sprintf("seed %d, step %d", seed, step))
			if t.Failed() {
				return
			}
		}
		settleBudget(t, b, players, seed)
	}
}

// collect notes what was granted.
func collect(players []*player) {
	for _, p := range players {
		if p.waiting != nil && isClosed(p.waiting.granted) {
			p.holds = append(p.holds, p.waiting.given)
			p.waiting = nil
		}
	}
}

func checkBudget(t *testing.T, b *budget, players []*player, when string) {
	t.Helper()
	total := int64(0)
	for _, p := range players {
		sum := int64(0)
		for _, n := range p.holds {
			sum += n
		}
		total += sum
		if p.used != sum {
			t.Errorf("%s: an app has %d and is said to have %d", when, sum, p.used)
		}
		if p.waiting != nil && p.used < b.first {
			t.Errorf("%s: an app that has nothing waits", when)
		}
	}
	if len(b.all.waiting) > 0 {
		checkNext(t, b, players, when)
	}
	if total != b.all.used || total > b.most+b.first*int64(len(players)) {
		t.Errorf("%s: %d are out, known are %d, and there are %d", when, total, b.all.used, b.most)
	}
}

// checkNext finds who is to be served next, and that there is nothing for it.
func checkNext(t *testing.T, b *budget, players []*player, when string) {
	t.Helper()
	next := b.all.waiting[0].waiting[0]
	for _, p := range players {
		if p.waiting != nil && (p.of.used < next.of.used || p.of == next.of && p.used < next.used) {
			t.Errorf("%s: who has %d, and %d with its organization, is to be served before who has %d and %d",
				when, next.used, next.of.used, p.used, p.of.used)
		}
	}
	if n := b.offer(next, next.claims[0].least, next.claims[0].most); n > 0 {
		t.Errorf("%s: there are %d for who waits", when, n)
	}
}

// settleBudget lets everybody finish: who waits is served in the end, and then all is there again.
func settleBudget(t *testing.T, b *budget, players []*player, seed uint64) {
	t.Helper()
	for range 10_000 {
		busy := false
		for _, p := range players {
			if len(p.holds) > 0 {
				p.release(p.holds[0])
				p.holds = p.holds[1:]
			}
			busy = busy || len(p.holds) > 0 || p.waiting != nil
		}
		collect(players)
		if !busy {
			break
		}
	}
	for _, p := range players {
		if p.waiting != nil {
			t.Errorf("seed %d: an app waits for ever", seed)
		}
		p.close()
	}
	if b.all.used != 0 || len(b.all.waiting) != 0 || len(b.orgs) != 0 {
		t.Errorf("seed %d: %d are out, %d organizations wait", seed, b.all.used, len(b.all.waiting))
	}
}
