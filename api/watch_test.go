package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"covey.dev/covey/api/kind"
	"covey.dev/covey/store"
)

// events follows a watch over JSON; it ends with the test.
func (s *server) events(path string, headers ...string) func() map[string]any {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	s.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewReader(resp.Body)
	return func() map[string]any {
		s.Helper()
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return map[string]any{"type": "END"}
		}
		var event map[string]any
		if err := json.Unmarshal(line, &event); err != nil {
			s.Fatalf("%v: %s", err, line)
		}
		return event
	}
}

func (s *server) next(events func() map[string]any, typ, name string) map[string]any {
	s.Helper()
	e := events()
	if e["type"] != typ || name != "" && at(e, "object", "metadata", "name") != name {
		s.Fatalf("event %v, want %s of %s", e, typ, name)
	}
	return e
}

func TestWatchFollowsASelection(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a","labels":{"in":"yes"}}}`)
	revision := at(s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"b"}}`), "metadata", "resourceVersion")
	fromStart := s.events(configMaps + "?watch=1&labelSelector=in%3Dyes")
	s.next(fromStart, "ADDED", "a")
	later := s.events(fmt.Sprintf("%s?watch=true&labelSelector=in%%3Dyes&resourceVersion=%v", configMaps, revision))
	s.must(http.StatusOK, "PATCH", configMaps+"/b", `{"metadata":{"labels":{"in":"yes"}}}`, merge)
	s.must(http.StatusOK, "PATCH", configMaps+"/b", `{"data":{"k":"v"}}`, merge)
	out := s.must(http.StatusOK, "PATCH", configMaps+"/b", `{"metadata":{"labels":{"in":"no"}}}`, merge)
	s.must(http.StatusOK, "DELETE", configMaps+"/b", "")
	s.must(http.StatusOK, "DELETE", configMaps+"/a", "")
	for _, events := range []func() map[string]any{fromStart, later} {
		s.next(events, "ADDED", "b")
		s.next(events, "MODIFIED", "b")
		left := s.next(events, "DELETED", "b")
		s.expect(left, "yes", "object", "metadata", "labels", "in") // as it was
		s.expect(left, at(out, "metadata", "resourceVersion"), "object", "metadata", "resourceVersion")
		s.next(events, "DELETED", "a")
	}
}

func TestWatchListEndsItsBeginningWithABookmark(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"}}`)
	events := s.events(configMaps + "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
	s.next(events, "ADDED", "a")
	mark := s.next(events, "BOOKMARK", "")
	s.expect(mark, "true", "object", "metadata", "annotations", "k8s.io/initial-events-end")
	s.expect(mark, "ConfigMap", "object", "kind")
	s.must(http.StatusOK, "DELETE", configMaps+"/a", "")
	s.next(events, "DELETED", "a")
	s.must(http.StatusUnprocessableEntity, "GET", configMaps+"?watch=1&sendInitialEvents=true", "")
}

func TestWatchAtTheEdges(t *testing.T) {
	s := start(t)
	future := s.must(http.StatusGatewayTimeout, "GET", configMaps+"?watch=1&resourceVersion=999999", "")
	s.expect(future, "ResourceVersionTooLarge", "details", "causes", 0, "reason")
	s.must(http.StatusBadRequest, "GET", configMaps+"?watch=1&resourceVersion=x", "")

	ended := s.events(configMaps + "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true")
	s.must(http.StatusCreated, "POST", pods, podOn("")) // elsewhere
	s.next(ended, "BOOKMARK", "")
	s.next(ended, "END", "")

	stopped := s.events(configMaps + "?watch=1&timeoutSeconds=60")
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"}}`)
	s.next(stopped, "ADDED", "a")
	s.stop()
	s.next(stopped, "END", "")
}

// slowClient does something else before it takes the first event.
type slowClient struct {
	*httptest.ResponseRecorder
	first func()
}

func (c *slowClient) Write(p []byte) (int, error) {
	if c.first != nil {
		c.first()
		c.first = nil
	}
	return c.ResponseRecorder.Write(p)
}

// A client comes back at the last bookmark: what happened before it must have been sent.
func TestWatchWhoseTimeEndsWhileItSendsLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, handler := open(t, kind.Scheme())
		create := func(name string) uint64 {
			revision, err := st.Update(t.Context(), func(tx *store.Tx) error {
				tx.Create(store.Key{Resource: "configmaps", Namespace: "default", Name: name},
					&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return revision
		}
		from := any(create("a"))
		create("b")
		var got []string
		while := func() {
			create("c")
			time.Sleep(2 * time.Second) // of the test's own clock, which is the watch's too
		}
		for range 2 {
			client := &slowClient{ResponseRecorder: httptest.NewRecorder(), first: while}
			path := fmt.Sprintf("%s?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=%v", configMaps, from)
			handler.ServeHTTP(client, httptest.NewRequest("GET", path, nil))
			for dec := json.NewDecoder(client.Body); dec.More(); {
				var event map[string]any
				if err := dec.Decode(&event); err != nil {
					t.Fatal(err)
				}
				from = at(event, "object", "metadata", "resourceVersion")
				if event["type"] != "BOOKMARK" {
					got = append(got, fmt.Sprint(event["type"], " ", at(event, "object", "metadata", "name")))
				}
			}
			while = nil
		}
		if want := []string{"ADDED b", "ADDED c"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// churn makes more changes to a config map than the history keeps.
func (s *server) churn(name string) {
	s.Helper()
	for i := range history + 10 {
		_, err := s.store.Update(s.Context(), func(tx *store.Tx) error {
			key := store.Key{Resource: "configmaps", Namespace: "default", Name: name}
			rec, _ := tx.Get(key)
			obj := rec.Object().DeepCopyObject().(*corev1.ConfigMap)
			obj.Data = map[string]string{"i": fmt.Sprint(i)}
			tx.Put(key, obj, rec.Revision())
			return nil
		})
		if err != nil {
			s.Fatal(err)
		}
	}
}

func TestWatchOfAForgottenRevision(t *testing.T) {
	s := start(t)
	for i := range 3 {
		s.must(http.StatusCreated, "POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"a%d"}}`, i))
	}
	old := s.store.Snapshot().Revision()
	s.churn("a0")
	events := s.events(fmt.Sprintf("%s?watch=1&resourceVersion=%d", configMaps, old))
	e := s.next(events, "ERROR", "")
	s.expect(e, 410, "object", "code")
	s.expect(e, "Expired", "object", "reason")
}

func TestTableWatchSendsColumnsOnce(t *testing.T) {
	s := start(t)
	events := s.events(configMaps+"?watch=1", "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"}}`)
	s.must(http.StatusOK, "PATCH", configMaps+"/a", `{"data":{"k":"v"}}`, merge)
	first, second := s.next(events, "ADDED", ""), s.next(events, "MODIFIED", "")
	s.expect(first, "Name", "object", "columnDefinitions", 0, "name")
	s.expect(first, "a", "object", "rows", 0, "cells", 0)
	s.expect(first, "PartialObjectMetadata", "object", "rows", 0, "object", "kind")
	s.expect(second, nil, "object", "columnDefinitions", 0)
	s.expect(second, "a", "object", "rows", 0, "cells", 0)
}

// An informer and a plain watch, over both encodings, see what happens.
func TestInformer(t *testing.T) {
	for name, protobuf := range map[string]bool{"json": false, "protobuf": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			client := s.client(protobuf)
			maps := client.CoreV1().ConfigMaps("default")
			if _, err := maps.Create(t.Context(), configMap("before", nil), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			seen := make(chan string, 100)
			factory := informers.NewSharedInformerFactory(client, 0)
			informer := factory.Core().V1().ConfigMaps().Informer()
			_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc:    func(o any) { seen <- "add " + o.(*corev1.ConfigMap).Name },
				UpdateFunc: func(_, o any) { seen <- "update " + o.(*corev1.ConfigMap).Name + o.(*corev1.ConfigMap).Data["k"] },
				DeleteFunc: func(o any) { seen <- "delete " + o.(*corev1.ConfigMap).Name },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer factory.Shutdown()
			defer cancel()
			factory.Start(ctx.Done())
			expect := func(want string) {
				t.Helper()
				select {
				case got := <-seen:
					if got != want {
						t.Errorf("%s, want %s", got, want)
					}
				case <-time.After(patience):
					t.Fatalf("nothing, want %s", want)
				}
			}
			expect("add before")
			obj, err := maps.Create(ctx, configMap("a", nil), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			expect("add a")
			obj.Data = map[string]string{"k": "=v"}
			if _, err := maps.Update(ctx, obj, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			expect("update a=v")
			if err := maps.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			expect("delete a")
			w, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=before"})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			if e := <-w.ResultChan(); e.Type != watch.Added || e.Object.(*corev1.ConfigMap).Name != "before" {
				t.Errorf("%+v", e)
			}
		})
	}
}
