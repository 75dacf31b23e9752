package main

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
)

// What a program does that knows no kind when it is compiled.
func useDynamically(ctx context.Context, at stage) error {
	client, err := discovery.NewDiscoveryClientForConfig(at.config)
	if err != nil {
		return err
	}
	if err := discover(client); err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	if err != nil {
		return err
	}
	if mapping.Resource.Resource != "deployments" || mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return fmt.Errorf("a Deployment is mapped to %v", mapping)
	}
	resources, err := dynamic.NewForConfig(at.config)
	if err != nil {
		return err
	}
	if err := changeAndWatch(ctx, resources.Resource(mapping.Resource).Namespace(at.namespace)); err != nil {
		return err
	}
	return lookAtMetadata(ctx, at, mapping.Resource)
}

func discover(client *discovery.DiscoveryClient) error {
	version, err := client.ServerVersion()
	if err != nil {
		return err
	}
	if version.Major != "1" || version.Minor != "35" {
		return fmt.Errorf("the server is of version %v", version)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		return err
	}
	pods := discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "watch", "patch"}}, lists)
	found, err := discovery.GroupVersionResources(pods)
	if err != nil {
		return err
	}
	for _, wanted := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "pods"},
		{Group: "batch", Version: "v1", Resource: "cronjobs"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	} {
		if _, listed := found[wanted]; !listed {
			return fmt.Errorf("discovery does not tell of %v", wanted)
		}
	}
	preferred, err := client.ServerPreferredNamespacedResources()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(preferred, func(list *metav1.APIResourceList) bool { return list.GroupVersion == "apps/v1" }) {
		return fmt.Errorf("apps/v1 is not preferred")
	}
	_, err = client.OpenAPIV3().Paths()
	return err
}

func changeAndWatch(ctx context.Context, deployments dynamic.ResourceInterface) error {
	list, err := deployments.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	watcher, err := deployments.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	labels := map[string]any{"app": "loose"}
	wanted := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "loose"},
		"spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": "sampan-demo:v1"}}},
			},
		},
	}}
	owner := metav1.ApplyOptions{FieldManager: "loose"}
	if _, err := deployments.Apply(ctx, "loose", wanted, owner); err != nil {
		return err
	}
	patch := []byte(`{"spec":{"replicas":2}}`)
	if _, err := deployments.Patch(ctx, "loose", types.MergePatchType, patch, metav1.PatchOptions{}, "scale"); err != nil {
		return err
	}
	if err := eventually(ctx, "the watch tells of two ready pods", func(ctx context.Context) (bool, error) {
		return sees(ctx, watcher, watch.Modified, func(object *unstructured.Unstructured) bool {
			ready, _, err := unstructured.NestedInt64(object.Object, "status", "readyReplicas")
			return err == nil && ready == 2
		})
	}); err != nil {
		return err
	}
	foreground := metav1.DeletePropagationForeground
	if err := deployments.Delete(ctx, "loose", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return err
	}
	return eventually(ctx, "the watch tells of the end", func(ctx context.Context) (bool, error) {
		return sees(ctx, watcher, watch.Deleted, func(object *unstructured.Unstructured) bool {
			return object.GetName() == "loose" && object.GetDeletionTimestamp() != nil
		})
	})
}

// Takes the next event; whether it is the one looked for.
func sees(
	ctx context.Context, watcher watch.Interface, kind watch.EventType, is func(*unstructured.Unstructured) bool,
) (bool, error) {
	select {
	case event, open := <-watcher.ResultChan():
		if !open || event.Type == watch.Error {
			return false, fmt.Errorf("the watch ended with %v", event)
		}
		object, known := event.Object.(*unstructured.Unstructured)
		return known && event.Type == kind && is(object), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// The garbage collector and others read metadata alone.
func lookAtMetadata(ctx context.Context, at stage, resource schema.GroupVersionResource) error {
	client, err := metadata.NewForConfig(at.config)
	if err != nil {
		return err
	}
	list, err := client.Resource(resource).Namespace("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		if item.Kind != "PartialObjectMetadata" || item.UID == "" {
			return fmt.Errorf("metadata is given as %v", item)
		}
	}
	watcher, err := client.Resource(resource).Namespace(at.namespace).Watch(ctx, metav1.ListOptions{
		ResourceVersion: list.ResourceVersion})
	if err != nil {
		return err
	}
	watcher.Stop()
	return nil
}
