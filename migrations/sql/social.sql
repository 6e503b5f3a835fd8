-- Policies of the social tables; of the older ones again, since they have new columns.

SELECT app.protect(name::regclass) FROM unnest(ARRAY[
    'public.social_accounts', 'public.social_posts', 'public.content_assets', 'public.social_clients'
]) AS name;
SELECT app.protect('public.social_authorizations', ARRAY['select', 'insert', 'delete']);
