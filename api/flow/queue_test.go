package flow

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// row is requests that are told to enter one after the other, and to leave one by one.
type row struct {
	*testing.T
	queue  *Queue
	seated chan *seat
}

type seat struct {
	client string
	leave  func()
}

func newRow(t *testing.T, l Limits) *row { return &row{t, New(l), make(chan *seat, 1000)} }

// ask sends a request of a client, and returns when it has a seat or waits.
func (r *row) ask(client string) {
	r.Helper()
	running, waiting := r.counts()
	go func() {
		leave, err := r.queue.Enter(context.Background(), client)
		if err != nil {
			r.Error(err)
			return
		}
		r.seated <- &seat{client, leave}
	}()
	for {
		if a, b := r.counts(); a+b > running+waiting {
			return
		}
		runtime.Gosched()
	}
}

func (r *row) counts() (running, waiting int) {
	r.queue.mu.Lock()
	defer r.queue.mu.Unlock()
	return r.queue.running, r.queue.waiting
}

// One that sends hundreds of requests does not hold up another: whenever a seat is free, it is the other's turn.
func TestTheGreedyDoNotStarveOthers(t *testing.T) {
	r := newRow(t, Limits{Seats: 4, SeatsPerClient: 4, Waiting: 1000, WaitingPerClient: 500})
	for range 400 {
		r.ask("greedy")
	}
	greedy := []*seat{<-r.seated, <-r.seated, <-r.seated, <-r.seated}
	for range 100 {
		r.ask("modest")
		greedy[0].leave()
		got := <-r.seated
		if got.client != "modest" {
			t.Fatalf("the free seat went to %s", got.client)
		}
		got.leave()
		greedy[0] = <-r.seated // its seat, while nobody else waits
	}
	for _, s := range greedy {
		s.leave()
	}
	for range 400 - 104 {
		(<-r.seated).leave()
	}
	r.empty()
}

// Clients that all have more than enough get the same.
func TestBusyClientsShare(t *testing.T) {
	const clients, seats, rounds = 3, 6, 90
	r := newRow(t, Limits{Seats: seats, SeatsPerClient: seats, Waiting: 1000, WaitingPerClient: 1000})
	for i := range clients {
		for range (i + 1) * 100 { // asked for one after the other, and in different numbers
			r.ask(fmt.Sprint(i))
		}
	}
	var held []*seat
	for range seats {
		held = append(held, <-r.seated)
	}
	served := map[string]int{}
	for range rounds {
		held[0].leave()
		next := <-r.seated
		served[next.client]++
		held = append(held[1:], next)
	}
	for client, n := range served {
		// The first client held all seats when the others came: they catch up with it first.
		if n < rounds/clients-seats || n > rounds/clients+seats {
			t.Errorf("client %s was served %d times in %d", client, n, rounds)
		}
	}
}

func TestLimits(t *testing.T) {
	r := newRow(t, Limits{Seats: 3, SeatsPerClient: 2, Waiting: 2, WaitingPerClient: 1})
	for range 3 {
		r.ask("a")
	}
	if running, waiting := r.counts(); running != 2 || waiting != 1 {
		t.Fatalf("%d run, %d wait", running, waiting)
	}
	if _, err := r.queue.Enter(t.Context(), "a"); !errors.Is(err, ErrFull) {
		t.Errorf("a fourth of one client: %v", err)
	}
	r.ask("b") // the seat that a may not have
	r.ask("b")
	if _, err := r.queue.Enter(t.Context(), "c"); !errors.Is(err, ErrFull) {
		t.Errorf("where nobody more may wait: %v", err)
	}
	for range 5 {
		(<-r.seated).leave()
	}
	r.empty()
}

func TestWhoGivesUpTakesNoSeat(t *testing.T) {
	r := newRow(t, Limits{Seats: 1, SeatsPerClient: 1, Waiting: 100, WaitingPerClient: 100})
	r.ask("a")
	ctx, cancel := context.WithCancel(t.Context())
	var gone sync.WaitGroup
	for range 20 {
		gone.Go(func() {
			leave, err := r.queue.Enter(ctx, "b")
			if err == nil { // its turn came before it gave up
				leave()
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	first := <-r.seated
	go cancel()
	first.leave()
	gone.Wait()
	r.empty()
}

// empty checks that nothing is left of requests that have gone.
func (r *row) empty() {
	r.Helper()
	for {
		if running, waiting := r.counts(); running == 0 && waiting == 0 {
			break
		}
		runtime.Gosched()
	}
	r.queue.mu.Lock()
	defer r.queue.mu.Unlock()
	if len(r.queue.clients) > 0 {
		r.Errorf("%d clients are remembered", len(r.queue.clients))
	}
}
