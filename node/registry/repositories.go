package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"covey.dev/covey/agent"
	"covey.dev/covey/store"
)

const (
	// repositoryLabel marks the ConfigMaps, and repositoryAnnotation has the name of the repository.
	repositoryLabel      = "covey.dev/registry"
	repositoryAnnotation = "covey.dev/repository"
	objectPrefix         = "covey-registry-"
	tagPrefix            = "tag."
	digestPrefix         = "digest."
)

// leaderWait is how long a read waits for a leader: an election is over by then, and a node without a majority must start its pods.
const leaderWait = 2 * time.Second

// State is the cluster's; *store.Store is one.
type State interface {
	Snapshot() *store.Snapshot
	Linearizable(ctx context.Context) (*store.Snapshot, error)
	Update(ctx context.Context, fn func(*store.Tx) error) (uint64, error)
}

// Repositories keeps what was pushed in the cluster's state. It implements agent.Repositories.
type Repositories struct{ Store State }

// key is that of a repository's object; names of repositories are longer than those of objects may be.
func key(name string) store.Key {
	sum := sha256.Sum256([]byte(name))
	return store.Key{Resource: "configmaps", Namespace: metav1.NamespaceSystem, Name: objectPrefix + hex.EncodeToString(sum[:10])}
}

// snapshot is the newest state, or while the cluster has no leader what is known here.
func (r Repositories) snapshot(ctx context.Context) (snap *store.Snapshot, current bool) {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	if snap, err := r.Store.Linearizable(ctx); err == nil {
		return snap, true
	}
	return r.Store.Snapshot(), false
}

// Repository implements agent.Repositories.
func (r Repositories) Repository(ctx context.Context, name string) (map[string]agent.Manifest, error) {
	snap, _ := r.snapshot(ctx)
	return read(snap, name)
}

func read(snap *store.Snapshot, name string) (map[string]agent.Manifest, error) {
	object, ok := store.Get[*corev1.ConfigMap](snap, key(name))
	if !ok {
		return map[string]agent.Manifest{}, nil
	}
	return decode(object)
}

// Look implements agent.Repositories. It waits for a leader once, not for each of the names.
func (r Repositories) Look(ctx context.Context, names []string) (map[string]map[string]agent.Manifest, bool, error) {
	snap, current := r.snapshot(ctx)
	repositories := make(map[string]map[string]agent.Manifest, len(names))
	var errs []error
	for _, name := range names {
		manifests, err := read(snap, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		repositories[name] = manifests
	}
	return repositories, current, errors.Join(errs...)
}

// RepositoryNames implements agent.Repositories.
func (r Repositories) RepositoryNames(ctx context.Context) ([]string, error) {
	var names []string
	snap, _ := r.snapshot(ctx)
	for object := range store.List[*corev1.ConfigMap](snap, "configmaps", metav1.NamespaceSystem) {
		if object.Labels[repositoryLabel] != "" && object.Annotations[repositoryAnnotation] != "" {
			names = append(names, object.Annotations[repositoryAnnotation])
		}
	}
	slices.Sort(names)
	return names, nil
}

// ChangeRepository implements agent.Repositories.
func (r Repositories) ChangeRepository(ctx context.Context, name string, change func(map[string]agent.Manifest) error) error {
	_, err := r.Store.Update(ctx, func(tx *store.Tx) error {
		old, exists := store.Get[*corev1.ConfigMap](tx.Snapshot(), key(name))
		manifests, err := map[string]agent.Manifest{}, error(nil)
		if exists {
			manifests, err = decode(old)
		}
		if err == nil {
			err = change(manifests)
		}
		if err != nil {
			return err
		}
		return put(tx, name, old, manifests)
	})
	return err
}

func put(tx *store.Tx, name string, old *corev1.ConfigMap, manifests map[string]agent.Manifest) error {
	rec, exists := tx.Get(key(name))
	if len(manifests) == 0 {
		if exists {
			tx.Delete(key(name), rec.Revision())
		}
		return nil
	}
	data, err := encode(manifests)
	if err != nil {
		return err
	}
	if !exists {
		tx.Create(key(name), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name: key(name).Name, Namespace: metav1.NamespaceSystem, UID: uuid.NewUUID(), CreationTimestamp: metav1.NewTime(time.Now()).Rfc3339Copy(),
				Labels: map[string]string{repositoryLabel: "true"}, Annotations: map[string]string{repositoryAnnotation: name},
			},
			Data: data,
		})
		return nil
	}
	if maps.Equal(old.Data, data) {
		return nil
	}
	changed := old.DeepCopy()
	changed.Data = data
	tx.Put(key(name), changed, rec.Revision())
	return nil
}

// encode makes keys that a ConfigMap may have: a digest has a colon in it.
func encode(manifests map[string]agent.Manifest) (map[string]string, error) {
	data := make(map[string]string, len(manifests))
	size := 0
	for id, m := range manifests {
		text, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		name := tagPrefix + id
		if algorithm, hash, isDigest := strings.Cut(id, ":"); isDigest {
			name = digestPrefix + algorithm + "." + hash
		}
		data[name] = string(text)
		size += len(name) + len(text)
	}
	if size > corev1.MaxSecretSize {
		return nil, fmt.Errorf("the repository has too many manifests (%d, %d bytes to describe them): delete some", len(manifests), size)
	}
	return data, nil
}

func decode(object *corev1.ConfigMap) (map[string]agent.Manifest, error) {
	manifests := make(map[string]agent.Manifest, len(object.Data))
	for name, text := range object.Data {
		id, isTag := strings.CutPrefix(name, tagPrefix)
		if !isTag {
			id = strings.Replace(strings.TrimPrefix(name, digestPrefix), ".", ":", 1)
		}
		var m agent.Manifest
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return nil, fmt.Errorf("ConfigMap %s/%s, key %s: %w", object.Namespace, object.Name, name, err)
		}
		manifests[id] = m
	}
	return manifests, nil
}
