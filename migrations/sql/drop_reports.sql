-- Undoes revision 0008.
DROP TABLE public.delivery_attempts, public.alert_deliveries, public.email_recipients, public.webhook_endpoints,
    public.alerts, public.reports;
