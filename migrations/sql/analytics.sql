-- Raw analytics events by month; what no month holds lies in the default partition.

CREATE TABLE public.analytics_events_default PARTITION OF public.analytics_events DEFAULT;

SELECT app.protect('public.analytics_events', ARRAY['select', 'insert', 'delete']);
SELECT app.protect('public.analytics_event_keys', ARRAY['select', 'insert', 'delete']);
SELECT app.ensure_event_partitions(2);
