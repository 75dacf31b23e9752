package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
)

const (
	finalizer = "test.example/mirror"
	// A ConfigMap with this label has a Secret of its name that holds the same.
	mirrored = "mirrored"
	workers  = 2
)

// A controller as every one is written: informers fill a queue, workers compare what is with what should be.
type controller struct {
	client     kubernetes.Interface
	configMaps cache.SharedIndexInformer
	secrets    cache.SharedIndexInformer
	queue      workqueue.TypedRateLimitingInterface[cache.ObjectName]
	events     record.EventRecorder
}

func runController(ctx context.Context, at stage) error {
	client, err := kubernetes.NewForConfig(at.config)
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events(at.namespace)})
	defer broadcaster.Shutdown()
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(at.namespace))
	c := &controller{
		client:     client,
		configMaps: factory.Core().V1().ConfigMaps().Informer(),
		secrets:    factory.Core().V1().Secrets().Informer(),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](5*time.Millisecond, time.Second)),
		events: broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "mirror"}),
	}
	for _, informer := range []cache.SharedIndexInformer{c.configMaps, c.secrets} {
		if _, err := informer.AddEventHandler(c.wakeups()); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("the informer of %v did not sync", kind)
		}
	}
	for range workers {
		go c.work(ctx)
	}
	defer c.queue.ShutDown()
	return playMirror(ctx, client, at.namespace)
}

func (c *controller) wakeups() cache.ResourceEventHandler {
	wake := func(object any) {
		if key, err := cache.DeletionHandlingObjectToName(object); err == nil {
			c.queue.Add(key)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    wake,
		UpdateFunc: func(_, now any) { wake(now) },
		DeleteFunc: wake,
	}
}

func (c *controller) work(ctx context.Context) {
	for {
		key, ended := c.queue.Get()
		if ended {
			return
		}
		if err := c.reconcile(ctx, key); err != nil {
			c.queue.AddRateLimited(key)
		} else {
			c.queue.Forget(key)
		}
		c.queue.Done(key)
	}
}

func (c *controller) reconcile(ctx context.Context, key cache.ObjectName) error {
	cached, found, err := c.configMaps.GetStore().GetByKey(key.String())
	if err != nil || !found {
		return err
	}
	source := cached.(*corev1.ConfigMap).DeepCopy()
	if _, wanted := source.Labels[mirrored]; !wanted {
		return nil
	}
	if source.DeletionTimestamp != nil {
		return c.release(ctx, source)
	}
	if len(source.Finalizers) == 0 {
		source.Finalizers = []string{finalizer}
		_, err := c.client.CoreV1().ConfigMaps(key.Namespace).Update(ctx, source, metav1.UpdateOptions{})
		return err
	}
	return c.mirror(ctx, source)
}

func (c *controller) mirror(ctx context.Context, source *corev1.ConfigMap) error {
	secrets := c.client.CoreV1().Secrets(source.Namespace)
	owner := metav1.NewControllerRef(source, corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	wanted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: source.Name, OwnerReferences: []metav1.OwnerReference{*owner}},
		StringData: source.Data,
	}
	cached, found, err := c.secrets.GetStore().GetByKey(source.Namespace + "/" + source.Name)
	if err != nil {
		return err
	}
	if !found {
		if _, err = secrets.Create(ctx, wanted, metav1.CreateOptions{}); err == nil {
			c.events.Eventf(source, corev1.EventTypeNormal, "Mirrored", "%d keys", len(source.Data))
		}
		return err
	}
	now := cached.(*corev1.Secret).DeepCopy()
	if string(now.Data["key"]) == source.Data["key"] {
		return nil
	}
	now.StringData = source.Data
	_, err = secrets.Update(ctx, now, metav1.UpdateOptions{})
	return err
}

func (c *controller) release(ctx context.Context, source *corev1.ConfigMap) error {
	err := c.client.CoreV1().Secrets(source.Namespace).Delete(ctx, source.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	source.Finalizers = nil
	_, err = c.client.CoreV1().ConfigMaps(source.Namespace).Update(ctx, source, metav1.UpdateOptions{})
	return err
}

// What a user of the controller does, and sees.
func playMirror(ctx context.Context, client kubernetes.Interface, namespace string) error {
	maps, secrets := client.CoreV1().ConfigMaps(namespace), client.CoreV1().Secrets(namespace)
	source := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "mirror", Labels: map[string]string{mirrored: ""}},
		Data:       map[string]string{"key": "one"},
	}
	if _, err := maps.Create(ctx, source, metav1.CreateOptions{}); err != nil {
		return err
	}
	holds := func(value string) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			secret, err := secrets.Get(ctx, "mirror", metav1.GetOptions{})
			return err == nil && string(secret.Data["key"]) == value, ignoreNotFound(err)
		}
	}
	if err := eventually(ctx, "the secret is made", holds("one")); err != nil {
		return err
	}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now, err := maps.Get(ctx, "mirror", metav1.GetOptions{})
		if err != nil {
			return err
		}
		now.Data["key"] = "two"
		_, err = maps.Update(ctx, now, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if err := eventually(ctx, "the secret follows", holds("two")); err != nil {
		return err
	}
	if err := secrets.Delete(ctx, "mirror", metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := eventually(ctx, "the secret comes back", holds("two")); err != nil {
		return err
	}
	if err := maps.Delete(ctx, "mirror", metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := eventually(ctx, "both are gone", func(ctx context.Context) (bool, error) {
		_, of := maps.Get(ctx, "mirror", metav1.GetOptions{})
		_, copied := secrets.Get(ctx, "mirror", metav1.GetOptions{})
		return apierrors.IsNotFound(of) && apierrors.IsNotFound(copied), nil
	}); err != nil {
		return err
	}
	return eventually(ctx, "the event is told", func(ctx context.Context) (bool, error) {
		found, err := client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.kind=ConfigMap,involvedObject.name=mirror,reason=Mirrored"})
		return err == nil && len(found.Items) > 0, err
	})
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Waits until a condition is true; an error of it ends the waiting.
func eventually(ctx context.Context, what string, condition func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, condition); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
