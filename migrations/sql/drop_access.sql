-- Undoes revision 0010.
DROP FUNCTION app.load_standing, app.load_api_key, app.touch_api_key, app.find_stopped, app.is_braked;
DROP TABLE public.organization_stops, public.revocations, public.api_keys;
