import { Type } from 'typebox';
import { Disclosure, Locale, PutDisclosureBody } from '#protocol';
import { appOf, viewerOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';
import { found } from './found.ts';

const params = Type.Object({ locale: Locale });
const tags = ['disclosures'];

/** The texts that both sides agree to before a secure call (F4, F5). */
export function disclosureRoutes(app: HttpApp, { directory }: HttpDeps): void {
  app.put(
    '/v1/disclosures/:locale',
    {
      config: { auth: 'app' },
      schema: {
        tags,
        summary: 'Put a text in force; another text than the present one makes a new version',
        params,
        body: PutDisclosureBody,
        response: { 200: Disclosure, default: problems },
      },
    },
    async (request) =>
      directory.putDisclosure(appOf(request).appId, request.params.locale, request.body.text),
  );
  app.get(
    '/v1/disclosures/:locale',
    {
      config: { auth: 'either' },
      schema: {
        tags,
        summary: 'The newest text of a locale',
        params,
        response: { 200: Disclosure, default: problems },
      },
    },
    async (request) => found(await directory.findDisclosure(viewerOf(request).appId, request.params.locale)),
  );
}
