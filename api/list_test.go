package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pages come from one revision, whatever happens in between.
func TestPages(t *testing.T) {
	s := start(t)
	for i := range 5 {
		s.must(http.StatusCreated, "POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"a%d"}}`, i))
	}
	first := s.must(http.StatusOK, "GET", configMaps+"?limit=2", "")
	s.expect(first, 3, "metadata", "remainingItemCount")
	s.must(http.StatusOK, "DELETE", configMaps+"/a2", "")
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a9"}}`)
	token := url.QueryEscape(at(first, "metadata", "continue").(string))
	rest := s.must(http.StatusOK, "GET", configMaps+"?limit=500&continue="+token, "")
	s.expect(rest, at(first, "metadata", "resourceVersion"), "metadata", "resourceVersion")
	s.expect(rest, nil, "metadata", "continue")
	for i, want := range []any{"a2", "a3", "a4", nil} {
		s.expect(rest, want, "items", i, "metadata", "name")
	}
	s.must(http.StatusBadRequest, "GET", configMaps+"?continue=nonsense", "")
}

func TestSelectors(t *testing.T) {
	s := start(t)
	s.must(http.StatusCreated, "POST", pods, podOn("n1"))
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a","labels":{"x":"y"}}}`)
	for path, want := range map[string]any{
		"/api/v1/pods?fieldSelector=spec.nodeName%3Dn1":                     "p",
		"/api/v1/pods?fieldSelector=spec.nodeName%3Dn2":                     nil,
		pods + "?fieldSelector=metadata.name%3Dp,spec.nodeName!%3Dn2":       "p",
		configMaps + "?labelSelector=x%3Dy":                                 "a",
		configMaps + "?labelSelector=!x":                                    nil,
		"/api/v1/namespaces/other/configmaps":                               nil,
		configMaps + "?fieldSelector=metadata.namespace%3Dother":            nil,
		configMaps + "?resourceVersion=0":                                   "a",
		configMaps + "?resourceVersion=1&resourceVersionMatch=NotOlderThan": "a",
	} {
		s.expect(s.must(http.StatusOK, "GET", path, ""), want, "items", 0, "metadata", "name")
	}
	for path, want := range map[string]string{
		pods + "?fieldSelector=spec.foo%3Dx":   "field label not supported: spec.foo",
		configMaps + "?fieldSelector=data%3Dx": `"data" is not a known field selector: only "metadata.name", "metadata.namespace"`,
		configMaps + "?resourceVersion=nope":   `invalid resource version "nope": strconv.ParseUint: parsing "nope": invalid syntax`,
	} {
		s.expect(s.must(http.StatusBadRequest, "GET", path, ""), want, "message")
	}
	s.must(http.StatusBadRequest, "GET", configMaps+"?labelSelector=!!", "")
}

// The shapes of lists, Tables and metadata are those that clients of Kubernetes read.
func TestViews(t *testing.T) {
	s := start(t)
	made := s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"},"data":{"k":"v"}}`)
	uid, rv := at(made, "metadata", "uid"), at(made, "metadata", "resourceVersion")
	created, managed := at(made, "metadata", "creationTimestamp"), at(made, "metadata", "managedFields", 0, "time") // a second may pass between them
	metadata := fmt.Sprintf(`{"name":"a","namespace":"default","uid":"%v","resourceVersion":"%v","creationTimestamp":"%v","managedFields":[`+
		`{"manager":"Go-http-client","operation":"Update","apiVersion":"v1","time":"%v","fieldsType":"FieldsV1","fieldsV1":{"f:data":{".":{},"f:k":{}}}}]}`, uid, rv, created, managed)
	for accept, want := range map[string]string{
		"": `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"` + fmt.Sprint(rv) + `"},"items":[{"metadata":` + metadata + `,"data":{"k":"v"}}]}`,
		"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1": `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"` +
			fmt.Sprint(rv) + `"},"items":[{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":` + metadata + `}]}`,
	} {
		if got := compact(t, s.do("GET", configMaps, "", "Accept: "+accept).body); got != want {
			t.Errorf("%s:\n%s, want\n%s", accept, got, want)
		}
	}
	table := "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
	out := s.must(http.StatusOK, "GET", configMaps, "", table)
	s.expect(out, "Table", "kind")
	s.expect(out, "meta.k8s.io/v1", "apiVersion")
	s.expect(out, "a", "rows", 0, "cells", 0)
	s.expect(out, "PartialObjectMetadata", "rows", 0, "object", "kind")
	s.expect(s.must(http.StatusOK, "GET", configMaps+"/a?includeObject=Object", "", table), "v", "rows", 0, "object", "data", "k")
	s.expect(s.must(http.StatusOK, "GET", configMaps+"?includeObject=None", "", table), nil, "rows", 0, "object")
	yaml := s.do("GET", configMaps+"/a", "", "Accept: application/yaml")
	if yaml.code != 200 || yaml.header.Get("Content-Type") != "application/yaml" || string(yaml.body[:15]) != "apiVersion: v1\n" {
		t.Errorf("YAML: %d %s", yaml.code, yaml.body)
	}
}

func TestLargeListIsCompressed(t *testing.T) {
	s := start(t)
	big := make([]byte, 200<<10)
	for i := range big {
		big[i] = 'x'
	}
	s.must(http.StatusCreated, "POST", configMaps, `{"metadata":{"name":"a"},"data":{"k":"`+string(big)+`"}}`)
	a := s.do("GET", configMaps, "", "Accept-Encoding: gzip", testRemote+": 192.0.2.7:40000")
	if a.header.Get("Content-Encoding") != "gzip" || len(a.body) > len(big)/10 {
		t.Errorf("%d bytes, %v", len(a.body), a.header)
	}
	a = s.do("GET", configMaps, "", "Accept-Encoding: gzip")
	if a.header.Get("Content-Encoding") != "" || len(a.body) < len(big) {
		t.Errorf("for a client on this machine: %d bytes, %v", len(a.body), a.header)
	}
	list, err := s.client(true).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items[0].Data["k"]) != len(big) {
		t.Errorf("%v", err)
	}
}

// A list that took too long is told so, and can be had to the end as the objects are now.
func TestPagesOfAForgottenRevision(t *testing.T) {
	s := start(t)
	for i := range 3 {
		s.must(http.StatusCreated, "POST", configMaps, fmt.Sprintf(`{"metadata":{"name":"a%d"}}`, i))
	}
	first := s.must(http.StatusOK, "GET", configMaps+"?limit=1", "")
	s.churn("a0")
	next := configMaps + "?limit=1&continue=" + url.QueryEscape(at(first, "metadata", "continue").(string))
	gone := s.must(http.StatusGone, "GET", next, "")
	s.expect(gone, "Expired", "reason")
	rest := s.must(http.StatusOK, "GET", configMaps+"?continue="+url.QueryEscape(at(gone, "metadata", "continue").(string)), "")
	s.expect(rest, "a1", "items", 0, "metadata", "name")
	s.expect(rest, "a2", "items", 1, "metadata", "name")
}
